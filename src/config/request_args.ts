import { checkBoolean, checkFunction, checkOptions, isBytes, type Known, parseSession } from "../arguments.ts";
import { cannot, kindOf, printable } from "../errors.ts";
import { type Address, ATYP, type Host, parseHost, parseTarget, type Target } from "../protocol/address.ts";
import type { UserPass } from "../protocol/messages.ts";
import type { DialOptions, TlsOptions } from "../transport.ts";
import type { ClientConfig } from "./client_config.ts";
import type { AssociateOptions, CheckOptions, CommandOptions, ConnectOptions } from "./options.ts";
import { type Credentials, encodeCredentials, type Proxy } from "./proxy_url.ts";
import { count, firstBytes, milliseconds } from "./settings.ts";
import { parseTls } from "./tls_options.ts";

const COMMAND: Known<CommandOptions> = { signal: true, timeout: true, credentials: true, isolate: true, session: true };

// as a transport a client is given options of the dial, too
const CONNECT: Known<ConnectOptions & DialOptions> = {
  ...COMMAND,
  reuse: true,
  data: true,
  tls: true,
  noDelay: true,
  keepAlive: true,
};

const CHECK: Known<CheckOptions> = {
  ...COMMAND,
  tls: true,
  probe: true,
  proxy: true,
  concurrency: true,
  onStep: true,
};

const ASSOCIATE: Known<AssociateOptions> = { ...COMMAND, from: true, allowPrivateRelay: true };

/** What a request asks for, checked and encoded at the call. */
export interface RequestArgs {
  /** The target. */
  readonly address: Address;
  /** Instead of those of the proxy; `null`: none. */
  readonly credentials: UserPass | null | undefined;
  /** The identity that keeps its proxy. */
  readonly session: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly timeout: number;
  /** The first bytes for the target, which leave with the request. */
  readonly data: Uint8Array | undefined;
  readonly reuse: boolean;
  /** How TLS is started with the target, with `serverName`; `null`: not at all. */
  readonly tls: TlsOptions | null;
}

/** What the arguments of a request are checked with. */
export type Terms = Pick<ClientConfig<unknown>, "settings" | "isolation" | "targets">;

/** Checks what a connect was given; throws a `TypeError` or a `RangeError`. */
export function parseConnect(terms: Terms, target: Target, given?: ConnectOptions): RequestArgs {
  const options = checkOptions("the options of connect()", given, CONNECT);
  const { credentials, reuse = false, signal, data, timeout, tls = false } = options;
  const address = terms.targets.parse(target);
  checkBoolean("reuse", reuse);
  if (data !== undefined && tls !== false) throw new TypeError("Cannot combine data with tls");
  const isolate = terms.isolation.of(options.isolate, credentials);
  return {
    address,
    credentials: credentialsOf(terms, isolate, credentials),
    data: firstBytes(data),
    reuse: reuse && isolate !== true,
    tls: parseTls("tls", tls, address.hostname, terms),
    session: parseSession(options.session),
    signal,
    timeout: milliseconds("timeout", timeout, terms.settings.timeout),
  };
}

/** Checks what a bind was given; the peer's port may be 0, as many do not know it. */
export function parseBind(terms: Terms, peer: Target, options?: CommandOptions): RequestArgs {
  return commandArgs(terms, parseTarget(peer, 0), checkOptions("the options of bind()", options, COMMAND));
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
  return commandArgs(terms, { hostname, atyp, addr, port: 0, name: hostname }, checked);
}

function commandArgs(
  terms: Terms,
  address: Address,
  { credentials, isolate, session, signal, timeout }: CommandOptions,
): RequestArgs {
  return {
    address,
    credentials: credentialsOf(terms, terms.isolation.of(isolate, credentials), credentials),
    session: parseSession(session),
    signal,
    timeout: milliseconds("timeout", timeout, terms.settings.timeout),
    data: undefined,
    reuse: false,
    tls: null,
  };
}

function credentialsOf(
  { isolation }: Terms,
  isolate: boolean | string,
  credentials: Credentials | null | undefined,
): UserPass | null | undefined {
  if (credentials === undefined) return isolation.credentials(isolate);
  return credentials === null ? null : encodeCredentials(credentials);
}

/** A check with its arguments checked. */
export interface CheckArgs extends Omit<RequestArgs, "address" | "data" | "reuse"> {
  readonly address: Address | null;
  readonly target: string | null;
  readonly probe: Uint8Array | undefined;
  /** How many proxies are checked at a time. */
  readonly concurrency: number;
  /** The label of the one proxy that is checked. */
  readonly proxy: string | undefined;
  readonly onStep: CheckOptions["onStep"];
}

/** Checks the arguments; throws a `TypeError` or a `RangeError`. */
export function parseCheck(
  terms: Terms & { readonly proxies: readonly Proxy[] },
  target: Target | undefined,
  given?: CheckOptions,
): CheckArgs {
  const options = checkOptions("the options of check()", given, CHECK);
  const { credentials, probe, signal, tls = false, onStep } = options;
  const address = target === undefined ? null : parseTarget(target);
  if (probe !== undefined && !isBytes(probe)) {
    throw new TypeError(cannot("probe", "a Uint8Array", probe));
  }
  checkFunction("onStep", onStep);
  const concurrency = count("concurrency", options.concurrency, 100);
  if (concurrency === 0) throw new RangeError(cannot("concurrency", "a whole number from 1 or Infinity", concurrency));
  if (probe !== undefined && address === null) throw new TypeError("Cannot use probe without a target");
  if (tls !== false && address === null) throw new TypeError("Cannot use tls without a target");
  return {
    address,
    target: address && address.name,
    credentials: credentialsOf(terms, terms.isolation.of(options.isolate, credentials), credentials),
    timeout: milliseconds("timeout", options.timeout, terms.settings.timeout),
    tls: address === null ? null : parseTls("tls", tls, address.hostname, terms),
    probe: probe && new Uint8Array(probe),
    proxy: options.proxy === undefined ? undefined : parseLabel(terms.proxies, options.proxy),
    session: parseSession(options.session),
    concurrency,
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
export function parseAssociate<S>(config: ClientConfig<S>, given?: AssociateOptions): AssociateArgs {
  const options = checkOptions("the options of associate()", given, ASSOCIATE);
  const { from, allowPrivateRelay = false } = options;
  if (typeof config.transport.openDatagrams !== "function") {
    throw new TypeError("Cannot associate: the transport has no openDatagrams() (no Socks5Client has it)");
  }
  const unixProxy = config.proxies.find(({ endpoint }) => "path" in endpoint);
  if (unixProxy !== undefined) throw new TypeError(`Cannot associate: the proxy ${unixProxy.name} is a unix socket`);
  checkBoolean("allowPrivateRelay", allowPrivateRelay);
  const host = from === undefined ? null : parseHost(from);
  if (host !== null && (typeof host === "string" || host.atyp === ATYP.DOMAIN)) {
    throw new TypeError(cannot("from", "an IP address", from));
  }
  return { ...commandArgs(config, parseTarget(ANY, 0), options), from: host, allowPrivate: allowPrivateRelay };
}

/** Checks how many milliseconds what is in use has; throws a `TypeError` or a `RangeError`. */
export function parseDrain(options: { drain?: number } | undefined, call: string, fallback: number): number {
  const { drain } = checkOptions(`the options of ${call}`, options, { drain: true });
  return milliseconds("drain", drain, fallback);
}

/** Checks what is to be suspended; throws a `TypeError` or a `RangeError`. */
export function parseSuspend(
  proxies: readonly Proxy[],
  which: string | { session: string },
  given: { for: number; hostname?: string },
): { name: string | { session: string }; duration: number; hostname: string | undefined } {
  const options = checkOptions("the options of suspend()", given, { for: true, hostname: true });
  const { for: duration, hostname } = options;
  if (duration === undefined) throw new TypeError(cannot("for", "milliseconds", duration));
  const host = hostname === undefined ? undefined : parseHost(hostname);
  if (typeof host === "string") throw new TypeError(cannot("hostname", "a host name", hostname));
  return {
    name: typeof which === "string" ? parseLabel(proxies, which) : { session: sessionOf(which) },
    duration: milliseconds("for", duration, 0),
    hostname: host?.hostname.replace(/\.$/, ""),
  };
}

function sessionOf(which: { session: string }): string {
  const { session } = checkOptions("the proxy of suspend()", which, { session: true }, "a label or { session }");
  if (session === undefined) throw new TypeError(cannot("session", "a text of 1 to 255 bytes", session));
  return parseSession(session)!;
}

/** Checks the label of a proxy; throws a `TypeError`. */
export function parseLabel(proxies: readonly Proxy[], label: string): string {
  if (typeof label !== "string") throw new TypeError(cannot("proxy", "the label of a proxy", label));
  if (proxies.some(({ name }) => name === label)) return label;
  throw new TypeError(`Cannot find a proxy with the label ${JSON.stringify(printable(label))} in the list`);
}
