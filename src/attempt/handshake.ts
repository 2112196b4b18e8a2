import type { Proxy } from "../config/proxy_url.ts";
import type { Settings } from "../config/settings.ts";
import { guard } from "../guarded_conn.ts";
import { METHOD, select, userPass } from "../protocol/messages.ts";
import type { Steps } from "../protocol/steps.ts";
import type { AttemptScope } from "../scope.ts";
import type { Conn, OwnedTransport, StartTls, Transport } from "../transport.ts";
import { ProxyConn } from "../tunnel/proxy_conn.ts";
import { startTls } from "../tunnel/start_tls.ts";
import { authenticateCustom } from "./custom_auth.ts";
import { converse } from "./converse.ts";
import { GREETINGS, type Identity } from "./identity.ts";

/** How connections to proxies are opened. */
export interface Dialer<S> {
  readonly settings: Settings;
  readonly transport: Transport<S>;
  /** For a connection whose transport has no TLS. */
  readonly startTls: StartTls;
  /** Whether the process stays alive for them while they are opened. */
  readonly keepsAlive: boolean;
}

/**
 * Dials, negotiates and authenticates (RFC 1928 section 3), by a custom method if the proxy chooses one: a connection that
 * is ready for a request. The attempt owns what is opened.
 */
export async function openProxyConn<S>(
  attempt: AttemptScope,
  dialer: Dialer<S>,
  proxy: Proxy,
  identity: Identity,
): Promise<ProxyConn<S>> {
  const conn = new ProxyConn(await dial(attempt, dialer, proxy), proxy);
  if (!dialer.keepsAlive) conn.conn.unref?.();
  const chosen = await converse(conn.conn, negotiateAndAuthenticate(attempt, identity), identity.secrets);
  const custom = identity.custom.find(({ method }) => method === chosen);
  if (custom !== undefined) conn.conn = await authenticateCustom(attempt, conn.conn, proxy, identity, custom);
  return conn;
}

/** Connects to the proxy, with TLS if it has that; rejects with what the runtime throws. */
export async function dial<S>(attempt: AttemptScope, dialer: Dialer<S>, proxy: Proxy): Promise<Conn<S>> {
  attempt.enter("dial");
  const { transport, settings: { noDelay, keepAlive } } = dialer;
  const options = (transport as Partial<OwnedTransport>).usesOwner
    ? { owner: attempt, noDelay, keepAlive }
    : { signal: attempt.signal, noDelay, keepAlive };
  const conn = attempt.own(guard(await transport.connect(proxy.endpoint, options), "connect()"));
  return proxy.tls === null ? conn : attempt.own(await startTls(conn, proxy.tls, dialer.startTls, "proxy"));
}

/** Has the proxy choose a METHOD, and goes through that of RFC 1929; a custom one is still to come. */
export function* negotiateAndAuthenticate(
  attempt: AttemptScope,
  { methods, credentials }: Identity,
): Steps<number> {
  attempt.enter("negotiate");
  const method = yield* select(methods, GREETINGS.get(methods));
  if (method !== METHOD.USERNAME_PASSWORD || credentials === null) return method;
  attempt.enter("authenticate");
  yield* userPass(credentials);
  return method;
}
