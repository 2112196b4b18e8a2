import {
  type Address,
  ATYP,
  type Host,
  parseHost,
  parseTarget,
  type Target,
  type Targets,
} from "../protocol/address.ts";
import { checkBoolean, checkFunction, checkOptions, isBytes, type Known } from "../arguments.ts";
import { cannot, kindOf } from "../errors.ts";
import type { Socks5Event } from "../events.ts";
import type { UserPass } from "../protocol/messages.ts";
import { Isolation } from "./isolation.ts";
import type { AssociateOptions, CheckOptions, CommandOptions, ConnectOptions, Socks5Options } from "./options.ts";
import { type Credentials, encodeCredentials, parseProxy, type Proxy, type ProxySpec } from "./proxy_url.ts";
import { firstBytes, milliseconds, type Settings, settings } from "./settings.ts";
import type { StartTls } from "../tunnel/start_tls.ts";
import { parseTls } from "./tls_options.ts";
import type { DialOptions, TlsOptions, Transport } from "../transport.ts";

/** Loads code for connections, lookups and TLS before their times are taken. */
export type Load = (needs: { lookup: boolean; tls: boolean }) => Promise<void>;

/** What a client has of the runtime unless its options say otherwise. */
export interface Runtime<S> {
  readonly transport: Transport<S>;
  readonly startTls: StartTls;
  readonly load?: (transport: Transport<S>) => Load;
}

/** What a client is made of, checked. */
export interface ClientConfig<S> {
  readonly proxies: readonly Proxy[];
  readonly transport: Transport<S>;
  /** For a connection whose transport has no TLS. */
  readonly startTls: StartTls;
  /** Loads the code for what is to come, as far as it is loaded at its first use. */
  readonly load: Load | undefined;
  readonly settings: Settings;
  readonly isolation: Isolation;
  readonly onEvent: ((event: Socks5Event) => void) | undefined;
}

const CLIENT: Known<Socks5Options> = {
  transport: true,
  auth: true,
  methods: true,
  handshake: true,
  dns: true,
  timeout: true,
  attemptTimeout: true,
  attemptDelay: true,
  retry: true,
  cooldown: true,
  noDelay: true,
  keepAlive: true,
  isolate: true,
  pool: true,
  onEvent: true,
};

const COMMAND: Known<CommandOptions> = { signal: true, timeout: true, credentials: true, isolate: true };

// as a transport a client is given options of the dial, too
const CONNECT: Known<ConnectOptions & DialOptions> = {
  ...COMMAND,
  reuse: true,
  data: true,
  tls: true,
  noDelay: true,
  keepAlive: true,
};

const CHECK: Known<CheckOptions> = { ...COMMAND, tls: true, probe: true, onStep: true };

const ASSOCIATE: Known<AssociateOptions> = { ...COMMAND, from: true, allowPrivateRelay: true };

/** Checks what the constructor was given; throws a `TypeError` or a `RangeError`. */
export function parseConfig<S>(
  proxy: ProxySpec | readonly ProxySpec[],
  given: Socks5Options<S>,
  runtime: Runtime<S>,
): ClientConfig<S> {
  const options = checkOptions("the options of Socks5Client", given, CLIENT);
  const { transport = runtime.transport, onEvent } = options;
  const proxies = (Array.isArray(proxy) ? proxy : [proxy]).map(parseProxy);
  if (proxies.length === 0) throw new TypeError(cannot("proxy", "a list of proxies", proxy));
  if (typeof transport?.connect !== "function") {
    throw new TypeError(
      cannot("transport", "an object with connect(), as the Socks5Client of another proxy", transport),
    );
  }
  checkFunction("onEvent", onEvent);
  const checked = settings(options);
  const isolation = new Isolation(options.isolate, proxies);
  if (
    checked.auth === "required" && checked.methods.length === 0 &&
    proxies.some(({ credentials }) => credentials === null)
  ) {
    throw new TypeError('Cannot use auth as "required": a proxy has no credentials');
  }
  if (checked.dns === "local" && typeof transport.lookup !== "function") {
    throw new TypeError('Cannot use dns as "local": the transport has no lookup()');
  }
  return {
    proxies,
    transport,
    startTls: runtime.startTls,
    load: runtime.load?.(transport),
    settings: checked,
    isolation,
    onEvent,
  };
}

/** What a request asks for, checked and encoded at the call. */
export interface RequestArgs {
  readonly address: Address;
  readonly credentials: UserPass | null | undefined;
  readonly signal: AbortSignal | undefined;
  readonly timeout: number;
}

/** What a connect asks for. */
export interface ConnectArgs extends RequestArgs {
  readonly data: Uint8Array | undefined;
  readonly reuse: boolean;
  readonly tls: TlsOptions | null;
}

/** What the arguments of a request are checked with. */
type Terms = Pick<ClientConfig<unknown>, "settings" | "isolation">;

/** Checks what a connect was given; throws a `TypeError` or a `RangeError`. */
export function parseConnect(terms: Terms, targets: Targets, target: Target, given?: ConnectOptions): ConnectArgs {
  const options = checkOptions("the options of connect()", given, CONNECT);
  const { credentials, reuse = false, signal, data, timeout, tls = false } = options;
  const address = targets.parse(target);
  checkBoolean("reuse", reuse);
  if (data !== undefined && tls !== false) throw new TypeError("Cannot combine data with tls");
  const isolate = terms.isolation.of(options.isolate, credentials);
  return {
    address,
    credentials: identityOf(terms, isolate, credentials),
    data: firstBytes(data),
    reuse: reuse && isolate !== true,
    tls: parseTls("tls", tls, address.hostname, terms),
    signal,
    timeout: milliseconds("timeout", timeout, terms.settings.timeout),
  };
}

/** Checks what a bind was given; the peer's port may be 0, as many do not know it. */
export function parseBind(terms: Terms, peer: Target, options?: CommandOptions): RequestArgs {
  return ask(terms, parseTarget(peer, 0), checkOptions("the options of bind()", options, COMMAND));
}

/** Checks what is to be resolved: a name or an address, or just an address. */
export function parseResolve(
  terms: Terms,
  name: string,
  what: "name" | "address",
  options?: CommandOptions,
): RequestArgs {
  const host = parseHost(name);
  const why = typeof host === "string" ? host : "it is a host name";
  if (typeof host === "string" || (what === "address" && host.atyp === ATYP.DOMAIN)) {
    const want = what === "name" ? "a host name" : "an IP address";
    throw new TypeError(`Cannot resolve ${what} as ${want}, ${why}: current value is ${kindOf(name)}`);
  }
  const { hostname, atyp, addr } = host;
  const call = what === "name" ? "resolve()" : "resolvePtr()";
  const checked = checkOptions(`the options of ${call}`, options, COMMAND);
  return ask(terms, { hostname, atyp, addr, port: 0, name: hostname }, checked);
}

function ask(terms: Terms, address: Address, { credentials, isolate, signal, timeout }: CommandOptions): RequestArgs {
  return {
    address,
    credentials: identityOf(terms, terms.isolation.of(isolate, credentials), credentials),
    signal,
    timeout: milliseconds("timeout", timeout, terms.settings.timeout),
  };
}

function identityOf(
  { isolation }: Terms,
  isolate: boolean | string,
  credentials: Credentials | null | undefined,
): UserPass | null | undefined {
  if (credentials === undefined) return isolation.credentials(isolate);
  return credentials === null ? null : encodeCredentials(credentials);
}

/** A check with its arguments checked. */
export interface CheckArgs extends Omit<RequestArgs, "address"> {
  readonly address: Address | null;
  readonly target: string | null;
  readonly tls: TlsOptions | null;
  readonly probe: Uint8Array | undefined;
  readonly onStep: CheckOptions["onStep"];
}

/** Checks the arguments; throws a `TypeError` or a `RangeError`. */
export function parseCheck(
  terms: Terms,
  targets: Targets,
  target: Target | undefined,
  given?: CheckOptions,
): CheckArgs {
  const options = checkOptions("the options of check()", given, CHECK);
  const { credentials, probe, signal, tls = false, onStep } = options;
  const address = target === undefined ? null : targets.parse(target);
  if (probe !== undefined && !isBytes(probe)) {
    throw new TypeError(cannot("probe", "a Uint8Array", probe));
  }
  checkFunction("onStep", onStep);
  if (probe !== undefined && address === null) throw new TypeError("Cannot use probe without a target");
  if (tls !== false && address === null) throw new TypeError("Cannot use tls without a target");
  return {
    address,
    target: address && address.name,
    credentials: identityOf(terms, terms.isolation.of(options.isolate, credentials), credentials),
    timeout: milliseconds("timeout", options.timeout, terms.settings.timeout),
    tls: address === null ? null : parseTls("tls", tls, address.hostname, terms),
    probe: probe && new Uint8Array(probe),
    signal,
    onStep,
  };
}

/** An association with its options checked; its address is what the request names, but for the port. */
export interface AssociateArgs extends RequestArgs {
  readonly from: Host | null;
  readonly allowPrivate: boolean;
}

/** "Any": a client behind an address translator does not know where its datagrams come from (RFC 1928 section 6). */
const ANY = "0.0.0.0:0";

/** Checks what an association is asked for, and whether the client can have one; throws a `TypeError` or a `RangeError`. */
export function parseAssociate<S>(plan: ClientConfig<S>, given?: AssociateOptions): AssociateArgs {
  const options = checkOptions("the options of associate()", given, ASSOCIATE);
  const { from, allowPrivateRelay = false } = options;
  if (typeof plan.transport.openDatagrams !== "function") {
    throw new TypeError("Cannot associate: the transport has no openDatagrams() (no Socks5Client has it)");
  }
  const path = plan.proxies.find(({ endpoint }) => "path" in endpoint);
  if (path !== undefined) throw new TypeError(`Cannot associate: the proxy ${path.name} is a unix socket`);
  checkBoolean("allowPrivateRelay", allowPrivateRelay);
  const host = from === undefined ? null : parseHost(from);
  if (host !== null && (typeof host === "string" || host.atyp === ATYP.DOMAIN)) {
    throw new TypeError(cannot("from", "an IP address", from));
  }
  return { ...ask(plan, parseTarget(ANY, 0), options), from: host, allowPrivate: allowPrivateRelay };
}
