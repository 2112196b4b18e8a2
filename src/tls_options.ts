import { parseHost } from "./address.ts";
import { cannot } from "./errors.ts";
import type { TlsOptions } from "./transport.ts";

/**
 * Checks the option `name`, which is `true`, the options of TLS, or nothing; gives a copy in which `serverName` is
 * `hostname` unless it says otherwise. Throws a `TypeError` that names what is wrong and shows nothing of a key.
 */
export function parseTls(name: string, value: boolean | TlsOptions | undefined, hostname: string): TlsOptions | null {
  if (value === undefined || value === false) return null;
  if (value !== true && (typeof value !== "object" || value === null)) {
    throw new TypeError(cannot(name, "a boolean or an object", kind(value)));
  }
  const { serverName = hostname, caCerts = [], cert, key, alpnProtocols = [] } = value === true ? {} : value;
  const server = parseHost(serverName);
  if (typeof server === "string") {
    throw new TypeError(cannot(`${name}.serverName`, "a host name or an IP address", shown(serverName)));
  }
  if ((cert === undefined) !== (key === undefined)) {
    const [there, missing] = cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw new TypeError(`Cannot use ${name}.${there} without ${name}.${missing}`);
  }
  if (cert !== undefined) pem(`${name}.cert`, "a certificate in PEM", CERTIFICATE, cert);
  if (key !== undefined) pem(`${name}.key`, "a private key in PEM, not encrypted", PRIVATE_KEY, key);
  list(`${name}.caCerts`, caCerts);
  for (const ca of caCerts) pem(`${name}.caCerts`, "certificates in PEM", CERTIFICATE, ca);
  list(`${name}.alpnProtocols`, alpnProtocols);
  for (const protocol of alpnProtocols) {
    if (typeof protocol !== "string" || !fits(new TextEncoder().encode(protocol).length)) {
      throw new TypeError(cannot(`${name}.alpnProtocols`, "names of 1 to 255 bytes", shown(protocol)));
    }
  }
  return {
    serverName: server.hostname.replace(/\.$/, ""), // the dot is no part of the name in TLS (RFC 6066 section 3)
    ...(caCerts.length > 0 && { caCerts: [...caCerts] }),
    ...(cert !== undefined && { cert, key }),
    ...(alpnProtocols.length > 0 && { alpnProtocols: [...alpnProtocols] }),
  };
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----/;
const PRIVATE_KEY = /-----BEGIN (RSA |EC )?PRIVATE KEY-----/;

function pem(name: string, want: string, shape: RegExp, value: unknown): void {
  if (typeof value !== "string" || !shape.test(value)) throw new TypeError(cannot(name, want, kind(value)));
}

function list(name: string, value: unknown): void {
  if (!Array.isArray(value)) throw new TypeError(cannot(name, "an array", kind(value)));
}

function fits(length: number): boolean {
  return length >= 1 && length <= 255;
}

/** A short text as it is; of anything else only what it is. */
function shown(value: unknown): unknown {
  return typeof value === "string" && value.length <= 300 ? value : kind(value);
}

/** Wrapped, so that it is not quoted. */
function kind(value: unknown): unknown {
  return Object(value === null ? "null" : typeof value === "string" ? "(redacted)" : typeof value);
}
