import type { AuthMethod } from "../config/auth_method.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { Settings } from "../config/settings.ts";
import { greeting, METHOD, type UserPass } from "../protocol/messages.ts";
import type { TlsOptions } from "../transport.ts";

/** Who asks: the credentials, and the methods that are offered. */
export interface Identity {
  readonly credentials: UserPass | null;
  readonly methods: readonly number[];
  /** Those among them that the caller brought, the first ones. */
  readonly custom: readonly AuthMethod[];
  /** What no message may show. */
  readonly secrets: readonly (UserPass | null)[];
}

/** Credentials of one connect are always required, so that they are never dropped silently. */
export function identify(
  proxy: Proxy,
  own: UserPass | null | undefined,
  { auth, methods: custom }: Pick<Settings, "auth" | "methods">,
): Identity {
  const credentials = own === undefined ? proxy.credentials : own;
  const secrets = [proxy.credentials, credentials];
  if (own !== undefined) return { credentials, methods: own === null ? NONE : PASSWORD, custom: NO_CUSTOM, secrets };
  const isRequired = auth === "required";
  const usual = credentials === null ? NONE : isRequired ? PASSWORD : EITHER;
  if (custom.length === 0) return { credentials, methods: usual, custom, secrets };
  const rest = isRequired && credentials === null ? [] : usual;
  return { credentials, methods: [...custom.map(({ method }) => method), ...rest], custom, secrets };
}

const NO_CUSTOM: readonly AuthMethod[] = [];

const NONE = [METHOD.NO_AUTHENTICATION];
const PASSWORD = [METHOD.USERNAME_PASSWORD];
const EITHER = [...NONE, ...PASSWORD];

/** The usual greetings, encoded once: half a microsecond of a dial on Deno. */
export const GREETINGS: ReadonlyMap<readonly number[], Uint8Array> = new Map(
  [NONE, PASSWORD, EITHER].map((methods) => [methods, greeting(methods)]),
);

/** One target, one identity and one kind of TLS; never joined with a separator that could stand in one of them. */
export function keyOf(target: string, credentials: UserPass | null | undefined, tls: TlsOptions | null): string {
  const own = credentials && [[...credentials.uname], [...credentials.passwd]];
  return JSON.stringify([target, credentials === undefined ? "proxy" : own, tls]);
}

/** The same with one method, as it must be where the answer is not waited for. */
export function withOneMethod({ credentials, secrets }: Identity): Identity {
  return { credentials, methods: credentials === null ? NONE : PASSWORD, custom: NO_CUSTOM, secrets };
}
