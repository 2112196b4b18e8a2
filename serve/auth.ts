import { Buffer } from "node:buffer";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { type Credentials, encodeCredentials } from "../src/config/proxy_url.ts";

/** A client that was let in. */
export interface ClientIdentity {
  /** Its credentials for the SOCKS5 proxy; `undefined` are the proxy's own. */
  readonly credentials: Credentials | undefined;
  /** The identity that keeps its proxy. */
  readonly session: string | undefined;
}

/** Any user name, which becomes the session of the client, with one password. */
export interface SessionCredentials {
  /** That the user name is the session. */
  session: true;
  /** The password that all clients must send, 1 to 255 bytes. */
  password: string;
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

/** Lets in everyone, one user, or everyone under the user name or the credentials that they send. */
export function clientAuth(
  credentials: Credentials | SessionCredentials | "forward" | "session" | undefined,
): ClientAuth {
  if (credentials === undefined) return { isRequired: false, authenticate: () => DEFAULT_IDENTITY };
  if (credentials === "forward") return { isRequired: true, authenticate: forwarded };
  if (credentials === "session") return { isRequired: true, authenticate: ofSession };
  const isSession = "session" in credentials;
  const key = randomBytes(32);
  const digest = ({ username, password = "" }: Partial<Credentials>) =>
    createHmac("sha256", key).update(JSON.stringify(isSession ? [password] : [username, password])).digest();
  const expected = digest(credentials);
  const admitted = isSession ? ofSession : () => DEFAULT_IDENTITY;
  return {
    isRequired: true,
    authenticate: (given) => given !== null && timingSafeEqual(digest(given), expected) ? admitted(given) : null,
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

const DEFAULT_IDENTITY: ClientIdentity = { credentials: undefined, session: undefined };

function forwarded(given: Required<Credentials> | null): ClientIdentity | null {
  try {
    if (given !== null) encodeCredentials(given);
  } catch {
    return null; // what SOCKS5 cannot carry
  }
  return given && { credentials: given, session: undefined };
}

/** The password is not looked at here. */
function ofSession(given: Required<Credentials> | null): ClientIdentity | null {
  const length = given === null ? 0 : Buffer.byteLength(given.username);
  return length >= 1 && length <= 255 ? { credentials: undefined, session: given!.username } : null;
}
