import { Buffer } from "node:buffer";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { type Credentials, encodeCredentials } from "../src/config/proxy_url.ts";

/** A client that was let in, and its credentials for the SOCKS5 proxy: `undefined` are the proxy's own. */
export interface ClientIdentity {
  readonly credentials: Credentials | undefined;
}

/** Milliseconds before a wrong password is refused, so that few can be tried. */
export const WRONG_PASSWORD_DELAY = 1_000;

/** Decides who may use the local proxy. */
export interface ClientAuth {
  /** Whether clients must send user name and password. */
  readonly isRequired: boolean;
  /** `null` refuses. */
  authenticate(given: Required<Credentials> | null): ClientIdentity | null;
}

/** Lets in everyone, one user, or everyone under the credentials that they send. */
export function clientAuth(credentials: Credentials | "forward" | undefined): ClientAuth {
  if (credentials === undefined) return { isRequired: false, authenticate: () => DEFAULT_IDENTITY };
  if (credentials === "forward") return { isRequired: true, authenticate: forwarded };
  const key = randomBytes(32);
  const digest = ({ username, password = "" }: Credentials) =>
    createHmac("sha256", key).update(JSON.stringify([username, password])).digest();
  const expected = digest(credentials);
  return {
    isRequired: true,
    authenticate: (given) => given !== null && timingSafeEqual(digest(given), expected) ? DEFAULT_IDENTITY : null,
  };
}

/** User name and password of a `Proxy-Authorization` (RFC 7617), or `null`. */
export function parseBasic(value: string | undefined): Required<Credentials> | null {
  const [, encoded] = /^basic +([a-z\d+/]+={0,2})$/i.exec(value ?? "") ?? [];
  const text = encoded === undefined ? null : decodeUtf8(Buffer.from(encoded, "base64"));
  const colon = text?.indexOf(":") ?? -1;
  return colon < 0 ? null : { username: text!.slice(0, colon), password: text!.slice(colon + 1) };
}

/** Decodes UTF-8; `null` if the bytes are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

const DEFAULT_IDENTITY: ClientIdentity = { credentials: undefined };

function forwarded(given: Required<Credentials> | null): ClientIdentity | null {
  try {
    if (given !== null) encodeCredentials(given);
  } catch {
    return null; // what SOCKS5 cannot carry
  }
  return given && { credentials: given };
}
