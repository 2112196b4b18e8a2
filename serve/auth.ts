import { Buffer } from "node:buffer";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { type Credentials, encodeCredentials } from "../src/config/proxy_url.ts";

/** Who comes in, and with which credentials for the proxy: `undefined` is the proxy's own. */
export interface Pass {
  readonly credentials: Credentials | undefined;
}

/** Milliseconds until the answer to a wrong password, so that few can be tried. */
export const WRONG_PASSWORD = 1_000;

/** Decides who may use the front. */
export interface Gate {
  /** Whether it asks for user name and password. */
  readonly asks: boolean;
  /** `null` refuses. */
  admit(given: Required<Credentials> | null): Pass | null;
}

/** Everyone, one user, or everyone as whom they say they are. */
export function gateFor(credentials: Credentials | "forward" | undefined): Gate {
  if (credentials === undefined) return { asks: false, admit: () => OWN };
  if (credentials === "forward") return { asks: true, admit: forwarded };
  const key = randomBytes(32);
  const seal = ({ username, password = "" }: Credentials) =>
    createHmac("sha256", key).update(JSON.stringify([username, password])).digest();
  const wanted = seal(credentials);
  return { asks: true, admit: (given) => given !== null && timingSafeEqual(seal(given), wanted) ? OWN : null };
}

/** User name and password of a `Proxy-Authorization` (RFC 7617), or `null`. */
export function basic(value: string | undefined): Required<Credentials> | null {
  const [, encoded] = /^basic +([a-z\d+/]+={0,2})$/i.exec(value ?? "") ?? [];
  const text = encoded === undefined ? null : utf8(Buffer.from(encoded, "base64"));
  const colon = text?.indexOf(":") ?? -1;
  return colon < 0 ? null : { username: text!.slice(0, colon), password: text!.slice(colon + 1) };
}

/** The text of some UTF-8, or `null` if it is none. */
export function utf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

const OWN: Pass = { credentials: undefined };

function forwarded(given: Required<Credentials> | null): Pass | null {
  try {
    if (given !== null) encodeCredentials(given);
  } catch {
    return null; // what SOCKS5 cannot carry
  }
  return given && { credentials: given };
}
