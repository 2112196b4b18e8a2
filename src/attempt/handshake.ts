import type { AuthMethod, Settings } from "../config/settings.ts";
import { type CredentialsContext, credentialsOf, type Proxy } from "../config/proxy_url.ts";
import { guard } from "../guarded_conn.ts";
import { greeting, METHOD, select, type UserPass, userPass } from "../protocol/messages.ts";
import type { Steps } from "../protocol/steps.ts";
import type { AttemptScope } from "../scope.ts";
import type { Conn, OwnedTransport, StartTls, Transport } from "../transport.ts";
import { ProxyConn } from "../tunnel/proxy_conn.ts";
import { startTls } from "../tunnel/start_tls.ts";
import { authenticateCustom } from "./custom_auth.ts";
import { converse } from "./converse.ts";

/** How connections to proxies are opened. */
export interface Dialer<S> {
  readonly settings: Settings;
  readonly transport: Transport<S>;
  /** For a connection whose transport has no TLS. */
  readonly startTls: StartTls;
  /** Whether the process stays alive for them while they are opened. */
  readonly keepsAlive: boolean;
}

/** Who asks: the credentials, and the methods that are offered. */
export interface Identity {
  readonly credentials: UserPass | null;
  readonly methods: readonly number[];
  /** Those among them that the caller brought, the first ones. */
  readonly custom: readonly AuthMethod[];
  /** What no message may show. */
  readonly secrets: readonly (UserPass | null)[];
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

/**
 * Credentials of one connect are always required, so that they are never dropped silently. Throws a `TypeError` or a
 * `RangeError` if those that a function gives are wrong.
 */
export function identify(
  proxy: Proxy,
  own: UserPass | null | undefined,
  { auth, methods: custom }: Pick<Settings, "auth" | "methods">,
  context: CredentialsContext = { session: undefined, target: "" },
): Identity {
  const credentials = own === undefined ? credentialsOf(proxy, context) : own;
  const secrets = [proxy.credentials, credentials];
  if (own !== undefined) return { credentials, methods: own === null ? NONE : PASSWORD, custom: NO_CUSTOM, secrets };
  const isRequired = auth === "required";
  const usual = credentials === null ? NONE : isRequired ? PASSWORD : EITHER;
  if (custom.length === 0) return { credentials, methods: usual, custom, secrets };
  const rest = isRequired && credentials === null ? [] : usual;
  return { credentials, methods: [...custom.map(({ method }) => method), ...rest], custom, secrets };
}

/** Nobody: for messages about what goes through a tunnel that is open. */
export const NOBODY: Identity = { credentials: null, methods: [], custom: [], secrets: [] };

const NO_CUSTOM: readonly AuthMethod[] = [];

const NONE = [METHOD.NO_AUTHENTICATION];
const PASSWORD = [METHOD.USERNAME_PASSWORD];
const EITHER = [...NONE, ...PASSWORD];

/** The usual greetings, encoded once: half a microsecond of a dial on Deno. */
const GREETINGS: ReadonlyMap<readonly number[], Uint8Array> = new Map(
  [NONE, PASSWORD, EITHER].map((methods) => [methods, greeting(methods)]),
);

/** The same with one method, as it must be where the answer is not waited for. */
export function withOneMethod({ credentials, secrets }: Identity): Identity {
  return { credentials, methods: credentials === null ? NONE : PASSWORD, custom: NO_CUSTOM, secrets };
}
