import type { Phase, Socks5Error } from "../errors.ts";
import type { Target } from "../protocol/address.ts";
import type { Socks5Event } from "../events.ts";
import type { FleetStore } from "../proxies/fleet_store.ts";
import type { AuthMethod } from "./settings.ts";
import type { Credentials } from "./proxy_url.ts";
import type { TlsOptions, Transport } from "../transport.ts";

/**
 * The options of a client. Times are in milliseconds, from 0 to 2 147 483 647, or `Infinity` for no limit; the
 * constructor throws a `RangeError` for any other number.
 */
export interface Socks5Options<S = unknown> {
  /**
   * Opens the connections to the proxy: an adapter, your own transport, or another client, which makes a chain.
   * Default: the sockets of the runtime.
   */
  transport?: Transport<S> | undefined;
  /**
   * Whether the proxy may accept the client without its credentials. `"optional"` offers "no authentication" besides
   * user name and password, `"required"` does not. It applies to the credentials of the proxy; `credentials` of one
   * connect are always required. Default: `"optional"`.
   */
  auth?: "optional" | "required" | undefined;
  /**
   * Custom authentication methods. The client offers them in this order, before "no authentication" (unless `auth` is
   * `"required"`) and before user name and password (if the proxy has credentials). A connect with its own
   * `credentials` does not offer them. Default: none.
   */
  methods?: readonly AuthMethod[] | undefined;
  /**
   * `"pipelined"` sends greeting, credentials and request in one write, which saves one or two round trips. If a proxy
   * does not support this, the client falls back to the sequential handshake on a new connection and remembers that.
   * Default: `"sequential"`.
   */
  handshake?: "sequential" | "pipelined" | undefined;
  /**
   * Who resolves the names of targets. With `"local"` this machine does, by `transport.lookup`, and the client requests
   * their addresses one after another (at most 20) until one is reached; the proxy never sees a name.
   * Default: `"proxy"`.
   */
  dns?: "proxy" | "local" | undefined;
  /** Limit for one connect, from the call to the tunnel, waiting and retries included. Default: 30 000. */
  timeout?: number | undefined;
  /**
   * Limit for one attempt: dial and handshake. If no other proxy is left to try, the reply to the request may take
   * longer. While others are left, an attempt gets at most its share of the remaining `timeout`: an equal part, but at
   * least a quarter. Default: 10 000.
   */
  attemptTimeout?: number | undefined;
  /**
   * How long a proxy may be silent before the client tries the next one beside it, like the Connection Attempt Delay of
   * RFC 8305 for addresses. The first attempt that is ready to send the request goes on, and the others are closed;
   * once the request is sent, no other proxy is tried beside it. `Infinity`: one after another. 0: all at once.
   * Default: 2 000.
   */
  attemptDelay?: number | undefined;
  /** How a connect is retried after a temporary failure; a number is `retries`, 0 for none. Default: 3. */
  retry?: number | RetryOptions | undefined;
  /**
   * Which proxy of the list a connect takes, among those in service and with room (`maxOpen` of the proxy). Default:
   * `"first"`.
   *
   * - `"first"`: the first one, in the order of the list.
   * - `"round-robin"`: each in turn, as often as its `weight` says.
   * - `"random"`: any, as often as its `weight` says.
   * - `"least-open"`: of two random ones, that with fewer connections for its weight.
   * - `"fastest"`: of two random ones, that with the shorter time to a tunnel, a moving average, multiplied by one more
   *   than its connections for its weight.
   *
   * A connect with a `session` takes the proxy of the session.
   */
  balance?: Balance | undefined;
  /**
   * How long the client passes over a proxy that failed, while another one is left; up to a tenth is added at random.
   * Doubled for each further failure in a row. Default: 30 000.
   */
  cooldown?: number | undefined;
  /** The longest of those times, at least `cooldown`. Default: ten times `cooldown`. */
  maxCooldown?: number | undefined;
  /**
   * Checks proxies that failed in the background, so that no connect is the first to try one again: a proxy is back in
   * service once a check succeeds. Default: none; then one connect at a time tries a proxy whose cooldown is over.
   */
  probe?: ProbeOptions | undefined;
  /**
   * What the clients of several processes know of the proxies of one list: `redisStore()` of `./redis`, or a store of your
   * own. `maxOpen` of a proxy then holds over all of them. Default: each process for itself.
   */
  shared?: FleetStore | undefined;
  /**
   * For how many sessions `stats({ sessions: true })` counts bytes, the last used ones. A whole number from 0, or
   * `Infinity`. Default: 0.
   */
  trackSessions?: number | undefined;
  /** TCP_NODELAY. Default: `true`. */
  noDelay?: boolean | undefined;
  /** TCP keep-alive; a number is the initial delay in milliseconds, where the runtime supports it. Default: `true`. */
  keepAlive?: boolean | number | undefined;
  /** The default for `isolate` of each connect. Not for a proxy that has credentials. Default: `false`. */
  isolate?: boolean | string | undefined;
  /** Limits of the connection pool. */
  pool?: PoolOptions | undefined;
  /** Called synchronously with each event. What it throws is ignored, and a promise that it returns is not awaited. */
  onEvent?: ((event: Socks5Event) => void) | undefined;
}

/** Which proxy a connect takes: see the option `balance`. */
export type Balance = "first" | "round-robin" | "random" | "least-open" | "fastest";

/** How proxies that failed are checked in the background. Times are in milliseconds. */
export interface ProbeOptions extends Pick<CheckOptions, "probe" | "tls"> {
  /** The target that a check connects to. Default: none, just the handshake with the proxy. */
  target?: Target | undefined;
  /** How long after a failure, and after each check that failed, a proxy is checked. Default: its cooldown. */
  interval?: number | undefined;
  /** Limit for one check. Default: `attemptTimeout`. */
  timeout?: number | undefined;
}

/** When a failed connect is retried. Times are in milliseconds. */
export interface RetryOptions {
  /** Number of further rounds over the proxies, a whole number from 0, or `Infinity`. Default: 3. */
  retries?: number | undefined;
  /**
   * Pause before the second round, which doubles for each later one. Up to as much again is added at random. Default:
   * 100.
   */
  minDelay?: number | undefined;
  /** Longest pause. Default: 5 000. */
  maxDelay?: number | undefined;
  /**
   * Decides instead of `error.retryable`. It is not called for failures that cannot pass, such as a refused password or
   * a server that does not speak SOCKS5. If it throws, the connect rejects with that error.
   */
  when?: ((error: Socks5Error) => boolean) | undefined;
}

/** Limits of the connection pool. Times are in milliseconds. */
export interface PoolOptions {
  /**
   * Maximum number of connections: opening, in use, idle and warm together. At the limit, connects wait in order. A
   * whole number from 0, or `Infinity`. Default: 100.
   */
  maxOpen?: number | undefined;
  /** Maximum number of idle tunnels: released, and kept for reuse. Default: 10. */
  maxIdle?: number | undefined;
  /** How long a released tunnel is kept for reuse. Default: 90 000. */
  idleTimeout?: number | undefined;
  /**
   * Maximum age of a tunnel that is reused, less up to a tenth at random, so that they do not all end at once. Default:
   * 600 000.
   */
  maxLifetime?: number | undefined;
  /**
   * Number of warm connections: opened, negotiated and authenticated in advance with the proxy's own credentials, while
   * the client is in use. A connect that takes one only waits for the request. They count as open. A whole number from
   * 0 to `maxOpen`. Default: 0.
   */
  warm?: number | undefined;
  /**
   * Maximum age of a warm connection, at least 1 000. If a proxy closes them earlier, the client shortens this for that
   * proxy. Default: 20 000.
   */
  warmTimeout?: number | undefined;
  /** How long after the last connect warm connections are still kept. Default: 60 000. */
  warmIdle?: number | undefined;
}

/** The options of one connect. */
export interface ConnectOptions {
  /**
   * Cancels the connect: the promise rejects with the reason of the signal. An abort after that does not close the
   * tunnel.
   */
  signal?: AbortSignal | undefined;
  /** Milliseconds, instead of the client's `timeout`. */
  timeout?: number | undefined;
  /** Credentials instead of the proxy's own; the connect fails if the proxy does not ask for them. `null`: none. */
  credentials?: Credentials | null | undefined;
  /**
   * Isolates the tunnel from others by credentials that the client makes up, which tor understands: `true` from all
   * others, and it is never reused; a token (1 to 255 bytes of UTF-8) from all but those of this client with the same
   * token. Not together with `credentials`, nor for a proxy that has credentials. Default: that of the client; `false`
   * with `credentials`.
   */
  isolate?: boolean | string | undefined;
  /**
   * An identity that keeps its exit, 1 to 255 bytes of UTF-8: connects with the same session take the same proxy as long
   * as it is in service, in every process with the same list, and share no tunnels with other sessions. If the proxy is
   * out of service, the session moves to the same other one in every process, and back. If the proxy has no room, the
   * connect waits. Default: none.
   */
  session?: string | undefined;
  /**
   * Whether the connect may return a released tunnel, and its tunnel may be released later. Default: `false`, a new
   * one.
   */
  reuse?: boolean | undefined;
  /**
   * The first bytes for the target, at most 65 536. They are sent with the request, a round trip earlier. Some proxies
   * lose them silently. Once they are sent, a failure is final: no retry, no other proxy.
   */
  data?: Uint8Array | undefined;
  /**
   * Starts TLS with the target: `true`, or its options. The certificate must match the target's host name. A tunnel
   * with TLS is reused only by connects with the same options. Not together with `data`. Default: `false`.
   */
  tls?: boolean | TlsOptions | undefined;
}

/** The options of a bind and of a resolve. */
export type CommandOptions = Pick<ConnectOptions, "signal" | "timeout" | "credentials" | "isolate" | "session">;

/** The options of an association. `signal` and `timeout` apply to its setup only. */
export interface AssociateOptions extends CommandOptions {
  /**
   * The IP address from which datagrams will reach the proxy, for proxies that require it: the request names it, with
   * the port of the socket. Default: none (0.0.0.0:0), which also works behind an address translator.
   */
  from?: string | undefined;
  /**
   * Whether the proxy may name any relay, even one that could be an unrelated service near this machine. Default:
   * `false`. Then the client accepts the proxy's own address; any public address; a private one (RFC 1918, RFC 4193,
   * RFC 6598) if the proxy is private or on this machine; a link-local one if the proxy is on that link; and one of
   * this machine if the proxy runs on it, at the proxy's port or at 32768 to 65535. Addresses in IANA's special-purpose
   * registries are neither public nor private; IPv4 within IPv6 (NAT64, 6to4, Teredo, ISATAP) is checked as IPv4. A
   * proxy at 127.0.0.1 that is the end of a tunnel cannot be told from one that runs on this machine.
   */
  allowPrivateRelay?: boolean | undefined;
}

/** The options of a check. */
export interface CheckOptions extends CommandOptions, Pick<ConnectOptions, "tls"> {
  /**
   * Bytes that are sent to the target, whose answer proves the tunnel. Without them the check waits one second for the
   * first byte of the target, unless `tls` has proved that it is the target.
   */
  probe?: Uint8Array | undefined;
  /** Number of proxies that are checked at a time, a whole number from 1, or `Infinity`. Default: 100. */
  concurrency?: number | undefined;
  /** The label of the one proxy to check. Default: all of the list. */
  proxy?: string | undefined;
  /** Called synchronously as each step begins. What it throws is ignored. */
  onStep?: ((step: { proxy: string; phase: Exclude<Phase, "pool"> }) => void) | undefined;
}
