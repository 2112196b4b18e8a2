import type { Address, Target, Targets } from "./address.ts";
import type { Socks5Event } from "./events.ts";
import type { UserPass } from "./handshake.ts";
import type { CheckOptions, ConnectOptions, Socks5Options } from "./options.ts";
import { encodeCredentials, parseProxy, type Proxy, type ProxySpec } from "./proxy.ts";
import { cannot, firstBytes, milliseconds, type Settings, settings } from "./settings.ts";
import type { StartTls } from "./tls.ts";
import { parseTls } from "./tls_options.ts";
import type { TlsOptions, Transport } from "./transport.ts";

/** What a client is made of, checked. */
export interface Plan<S> {
  readonly proxies: readonly Proxy[];
  readonly transport: Transport<S>;
  /** For a connection whose transport has no TLS. */
  readonly startTls: StartTls;
  readonly settings: Settings;
  readonly onEvent: ((event: Socks5Event) => void) | undefined;
}

/** Checks what the constructor was given; throws a `TypeError` or a `RangeError`. */
export function plan<S>(
  proxy: ProxySpec | readonly ProxySpec[],
  transport: Transport<S>,
  options: Socks5Options<S>,
  startTls: StartTls,
): Plan<S> {
  const proxies = (Array.isArray(proxy) ? proxy : [proxy]).map(parseProxy);
  if (proxies.length === 0) throw new TypeError("Cannot use proxy as a list of proxies: current value is []");
  if (typeof transport?.connect !== "function") {
    throw new TypeError(cannot("transport", "an object with connect()", transport));
  }
  const { onEvent } = options;
  if (onEvent !== undefined && typeof onEvent !== "function") {
    throw new TypeError(cannot("onEvent", "a function", onEvent));
  }
  const checked = settings(options);
  if (
    checked.auth === "required" && checked.methods.length === 0 &&
    proxies.some(({ credentials }) => credentials === null)
  ) {
    throw new TypeError('Cannot use auth as "required": a proxy has no credentials');
  }
  if (checked.dns === "local" && typeof transport.lookup !== "function") {
    throw new TypeError('Cannot use dns as "local": the transport has no lookup()');
  }
  return { proxies, transport, startTls, settings: checked, onEvent };
}

/** What a connect asks for, checked and encoded at the call. */
export interface Wish {
  readonly address: Address;
  readonly credentials: UserPass | null | undefined;
  readonly data: Uint8Array | undefined;
  readonly reuse: boolean;
  readonly tls: TlsOptions | null;
  readonly signal: AbortSignal | undefined;
  readonly timeout: number;
}

/** Checks what a connect was given; throws a `TypeError` or a `RangeError`. */
export function wish(settings: Settings, targets: Targets, target: Target, options: ConnectOptions): Wish {
  const { credentials, reuse = false, signal, data, timeout, tls = false } = options;
  const address = targets.parse(target);
  if (data !== undefined && tls !== false) {
    throw new TypeError(cannot("data", "first bytes in the clear", "bytes of a connect with tls"));
  }
  return {
    address,
    credentials: credentials == null ? credentials : encodeCredentials(credentials),
    data: firstBytes(data),
    reuse,
    tls: parseTls("tls", tls, address.hostname),
    signal,
    timeout: milliseconds("timeout", timeout, settings.timeout),
  };
}

/** A check with its arguments checked. */
export interface CheckPlan {
  readonly address: Address | null;
  readonly target: string | null;
  readonly credentials: UserPass | null | undefined;
  readonly timeout: number;
  readonly tls: TlsOptions | null;
  readonly probe: Uint8Array | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onStep: CheckOptions["onStep"];
}

/** Checks the arguments; throws a `TypeError` or a `RangeError`. */
export function planCheck(
  settings: Settings,
  targets: Targets,
  target: Target | undefined,
  options: CheckOptions,
): CheckPlan {
  const { credentials, probe, signal, tls = false, onStep } = options;
  const address = target === undefined ? null : targets.parse(target);
  if (probe !== undefined && !(probe instanceof Uint8Array)) {
    throw new TypeError(cannot("probe", "a Uint8Array", typeof probe));
  }
  if (onStep !== undefined && typeof onStep !== "function") {
    throw new TypeError(cannot("onStep", "a function", onStep));
  }
  if (probe !== undefined && address === null) throw new TypeError(cannot("probe", "bytes for a target", "no target"));
  if (tls !== false && address === null) throw new TypeError(cannot("tls", "TLS with a target", "no target"));
  return {
    address,
    target: address && address.name,
    credentials: credentials == null ? credentials : encodeCredentials(credentials),
    timeout: milliseconds("timeout", options.timeout, settings.timeout),
    tls: address === null ? null : parseTls("tls", tls, address.hostname),
    probe: probe && new Uint8Array(probe),
    signal,
    onStep,
  };
}
