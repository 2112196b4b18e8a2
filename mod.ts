/**
 * A SOCKS5 client (RFC 1928, RFC 1929) for Deno, Bun and Node.
 *
 * @example A connection through a proxy
 * ```ts
 * import { Socks5Client } from "jsr:@x/socks5";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
 * const conn = await client.connect("example.com:80");
 * await conn.write(new TextEncoder().encode("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n"));
 * for await (const chunk of conn.readable) console.log(new TextDecoder().decode(chunk));
 * conn.close();
 * ```
 *
 * @module
 */
import "./adapters/runtime.ts";

export type { Target } from "./src/protocol/address.ts";
export type { Association, Datagram } from "./src/udp/association.ts";
export type { CheckReport, CheckStep } from "./src/check.ts";
export type { ProxyStats, Socks5Stats } from "./src/request/core.ts";
export type {
  AcceptedConn,
  AcceptOptions,
  Socks5Binding,
  Socks5Conn,
  StartTlsOptions,
} from "./src/tunnel/socks5_conn.ts";
export {
  AuthError,
  ClosedError,
  isProxyFailure,
  LocalError,
  ProxyError,
  Socks5Error,
  TargetError,
  TimeoutError,
  TlsError,
} from "./src/errors.ts";
export type { Phase, Socks5ErrorCode, Socks5ErrorContext } from "./src/errors.ts";
export type {
  CloseReason,
  EventDetails,
  FleetEvent,
  FleetEventDetails,
  RequestEvent,
  Socks5Event,
} from "./src/events.ts";
export type { Step } from "./src/protocol/steps.ts";
export type { AuthContext, AuthMethod, AuthSteps } from "./src/config/settings.ts";
export type {
  AssociateOptions,
  Balance,
  CheckOptions,
  CommandOptions,
  ConnectOptions,
  PoolOptions,
  ProbeOptions,
  RetryOptions,
  Socks5Options,
} from "./src/config/options.ts";

export type { Credentials, CredentialsContext, ProxyOptions, ProxySpec } from "./src/config/proxy_url.ts";
export { parseProxyList } from "./src/config/proxy_list.ts";
export type { FleetChanges, FleetLease, FleetStore, FleetSuspension } from "./src/proxies/fleet_store.ts";
export { Socks5Client } from "./src/socks5_client.ts";
export type {
  Bytes,
  ByteStream,
  Conn,
  DatagramHandlers,
  DatagramSocket,
  Detached,
  DialOptions,
  Endpoint,
  TlsOptions,
  Transport,
} from "./src/transport.ts";
