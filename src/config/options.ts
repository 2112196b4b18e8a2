import type { Phase, Socks5Error } from "../errors.ts";
import type { Socks5Event } from "../events.ts";
import type { AuthMethod } from "./auth_method.ts";
import type { Credentials } from "./proxy_url.ts";
import type { TlsOptions, Transport } from "../transport.ts";

/**
 * How a client connects. Times are milliseconds; `Infinity` is "no limit" and 0 is 0; a negative number, `NaN` or more
 * than 2147483647 is a `RangeError` of the constructor.
 */
export interface Socks5Options<S = unknown> {
  /** What opens the connections to the proxy. Default: the sockets of the running runtime. */
  transport?: Transport<S> | undefined;
  /**
   * `"optional"` offers "no authentication" besides user name and password, `"required"` does not. Only for the
   * credentials of the proxy: those of one connect are always required, and `null` there is none. Default: `"optional"`.
   */
  auth?: "optional" | "required" | undefined;
  /**
   * Authentication methods of one's own, offered in this order and before what is offered in any case: "no
   * authentication" unless `auth` is `"required"`, and user name and password if the proxy has some. A connect with
   * `credentials` of its own offers these (or with `null` "no authentication") and nothing else. Default: none.
   */
  methods?: readonly AuthMethod[] | undefined;
  /**
   * `"pipelined"` sends greeting, credentials and request in one write, which saves one or two round trips; a proxy that
   * does not take it is asked in sequence on a new connection, and remembered. Default: `"sequential"`.
   */
  handshake?: "sequential" | "pipelined" | undefined;
  /**
   * `"local"`: this machine looks up the names of targets, by `transport.lookup`, and the proxy is given their addresses,
   * one after another (at most 20) until one is reached; never a name. Default: `"proxy"`, the proxy looks them up.
   */
  dns?: "proxy" | "local" | undefined;
  /** One connect with all that is in it. Default: 30 000. */
  timeout?: number | undefined;
  /**
   * One dial and handshake; the reply of the proxy may take longer unless another proxy is left to try. While others are
   * left, at most its share of what is left of `timeout`: a part for each of them, but at least a quarter. Default: 10 000.
   */
  attemptTimeout?: number | undefined;
  /**
   * How long a proxy may be silent before the next one is tried as well, as the Connection Attempt Delay of RFC 8305 is
   * for addresses: the first that would send the request goes on alone, and the others are closed. Once the request is
   * sent no other proxy is tried beside. `Infinity`: one after another. 0: all at once. Default: 2 000.
   */
  attemptDelay?: number | undefined;
  /** Further rounds after a failure that may pass; 0 is none. Default: 3. */
  retry?: number | RetryOptions | undefined;
  /** How long a proxy that failed is passed over while another is left. Default: 30 000. */
  cooldown?: number | undefined;
  /** TCP_NODELAY. Default: `true`. */
  noDelay?: boolean | undefined;
  /** TCP keep-alive; a number is the initial delay, where the runtime has it. Default: `true`. */
  keepAlive?: boolean | number | undefined;
  /** As that of one connect, for all that say nothing. Not for a proxy that has credentials. Default: `false`. */
  isolate?: boolean | string | undefined;
  /** How many tunnels, and how long. */
  pool?: PoolOptions | undefined;
  /** Told what happens, synchronously; what it throws is ignored, and a promise that it returns is not awaited. */
  onEvent?: ((event: Socks5Event) => void) | undefined;
}

/** When a failed connect is tried again. */
export interface RetryOptions {
  /** Further rounds over the proxies. Default: 3. */
  retries?: number | undefined;
  /** Shortest pause before the second round, then doubled each time; at most as much again is added at random. Default: 100. */
  minDelay?: number | undefined;
  /** The longest pause. Default: 5 000. */
  maxDelay?: number | undefined;
  /** Decides instead of `error.retryable`; not asked about what cannot pass (a refused password, bytes that are not SOCKS5). What it throws rejects the connect. */
  when?: ((error: Socks5Error) => boolean) | undefined;
}

/** Limits of the pool. */
export interface PoolOptions {
  /** Opening, in use and idle together; at the limit `connect()` waits its turn. Default: 100. */
  maxOpen?: number | undefined;
  /** Released tunnels that are kept. Default: 10. */
  maxIdle?: number | undefined;
  /** How long a released tunnel is kept. Default: 90 000. */
  idleTimeout?: number | undefined;
  /** An older tunnel is not reused (up to a tenth earlier, so that not all end at once). Default: 600 000. */
  maxLifetime?: number | undefined;
  /**
   * Sessions that are kept ready, negotiated and authenticated with the proxy's own credentials, while the client is in
   * use: a connect spends one and pays for the request alone. They count as open. At most `maxOpen`. Default: 0.
   */
  warm?: number | undefined;
  /** How old a session gets, at least 1 000; a proxy that ends them sooner is believed. Default: 20 000. */
  warmTimeout?: number | undefined;
  /** How long after the last connect sessions are still kept ready. Default: 60 000. */
  warmIdle?: number | undefined;
}

/** How one connect differs from the others of its client. */
export interface ConnectOptions {
  /** Cancels with its own reason until the promise settles; never closes what was handed over. */
  signal?: AbortSignal | undefined;
  /** Instead of the client's. */
  timeout?: number | undefined;
  /** Instead of the proxy's own, and never dropped silently; `null`: none. */
  credentials?: Credentials | null | undefined;
  /**
   * Keeps it apart from other streams, as tor does by credentials: `true` from all others, and it is never reused; a token
   * (1 to 255 bytes) from all but those of this client with the same token. Not together with `credentials`, nor for a
   * proxy that has some; `credentials` go before that of the client. Default: that of the client.
   */
  isolate?: boolean | string | undefined;
  /** `true`: may give a tunnel that was released, and may itself be released. Default: `false`, a fresh one. */
  reuse?: boolean | undefined;
  /**
   * The first bytes for the target, at most 65 536: they leave with the request, a round trip earlier. Some proxies lose
   * them, without a word. Once they are on their way a failure is final: no retry, no other proxy.
   */
  data?: Uint8Array | undefined;
  /**
   * TLS with the target: `true`, or how. The certificate has to be for the target's name. A tunnel that may be reused is
   * given to connects with the same options alone. Not together with `data`. Default: `false`.
   */
  tls?: boolean | TlsOptions | undefined;
}

/** How something else than a tunnel is asked for. */
export type CommandOptions = Pick<ConnectOptions, "signal" | "timeout" | "credentials" | "isolate">;

/** What is asked of a proxy that is to carry datagrams. `signal` and `timeout` are for the setup alone. */
export interface AssociateOptions extends CommandOptions {
  /**
   * The IP address from which datagrams will reach the proxy, for a proxy that insists on being told: it is named in the
   * request with the port of the socket. Default: none, which also works behind an address translator.
   */
  from?: string | undefined;
  /**
   * Whether the proxy may name a relay that could be a service which has nothing to do with it. Default: `false`. Without it
   * the client takes the proxy's own address, any public one, a private one (RFC 1918, RFC 4193, RFC 6598) of a proxy that
   * is private or on this machine, one on the link of a proxy that is there, and one of this machine for a proxy on this
   * machine, at the proxy's port or at 32768 to 65535. What IANA's special-purpose registries set aside counts as neither
   * public nor private, and IPv4 within IPv6 (NAT64, 6to4, Teredo, ISATAP) counts, too. A proxy at 127.0.0.1 that is the end
   * of a tunnel cannot be told from one that runs on this machine.
   */
  allowPrivateRelay?: boolean | undefined;
}

/** How a proxy is checked. */
export interface CheckOptions extends CommandOptions, Pick<ConnectOptions, "tls"> {
  /**
   * Sent to the target, whose answer is then awaited; without it the first byte of the target is awaited for a second,
   * unless `tls` has proved that it is the target.
   */
  probe?: Uint8Array | undefined;
  /** Told of each step as it begins, synchronously; what it throws is ignored. */
  onStep?: ((step: { proxy: string; phase: Exclude<Phase, "pool"> }) => void) | undefined;
}
