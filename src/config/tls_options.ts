import { parseHost } from "../protocol/address.ts";
import { checkOptions, type Known } from "../arguments.ts";
import { cannot } from "../errors.ts";
import { runtime } from "../runtime.ts";
import type { TlsOptions } from "../transport.ts";

const TLS: Known<TlsOptions> = { serverName: true, caCerts: true, cert: true, key: true, alpnProtocols: true };

/**
 * Checks the option `name`, which is `true`, the options of TLS, or nothing; gives a copy in which `serverName` is
 * `hostname` unless it says otherwise. Throws a `TypeError` that names what is wrong and shows nothing of a key. What is
 * made of a private key is kept as long as `owner`, if there is one, else as long as the copy.
 */
export function parseTls(
  name: string,
  value: boolean | TlsOptions | undefined,
  hostname: string,
  owner?: object,
): TlsOptions | null {
  if (value === undefined || value === false) return null;
  const options = checkOptions(name, value === true ? {} : value, TLS, "a boolean or an object");
  return tlsOptions(name, options, hostname, owner);
}

/** As {@linkcode parseTls}, for options that are known to be no others. */
export function tlsOptions(name: string, options: TlsOptions, hostname: string, owner?: object): TlsOptions {
  const { serverName = hostname, caCerts = [], cert, key, alpnProtocols = [] } = options;
  const server = parseHost(serverName);
  if (typeof server === "string") {
    throw new TypeError(cannot(`${name}.serverName`, "a host name or an IP address", serverName));
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
      throw new TypeError(cannot(`${name}.alpnProtocols`, "names of 1 to 255 bytes", protocol));
    }
  }
  const checked = {
    serverName: server.hostname.replace(/\.$/, ""), // the dot is no part of the name in TLS (RFC 6066 section 3)
    ...(caCerts.length > 0 && { caCerts: [...caCerts] }),
    ...(cert !== undefined && { cert, key }),
    ...(alpnProtocols.length > 0 && { alpnProtocols: [...alpnProtocols] }),
  };
  runtime()?.checkTls?.(name, checked);
  if (owner !== undefined && key !== undefined) owners.set(checked, owner);
  return checked;
}

const owners = new WeakMap<TlsOptions, object>();

/** Who keeps what is made of the private key among the options: with that it is gone. */
export function ownerOf(options: TlsOptions): object {
  return owners.get(options) ?? options;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----/;
const PRIVATE_KEY = /-----BEGIN (RSA |EC )?PRIVATE KEY-----/;

function pem(name: string, want: string, shape: RegExp, value: unknown): void {
  if (typeof value !== "string" || !shape.test(value)) throw new TypeError(cannot(name, want, value));
}

function list(name: string, value: unknown): void {
  if (!Array.isArray(value)) throw new TypeError(cannot(name, "an array", value));
}

function fits(length: number): boolean {
  return length >= 1 && length <= 255;
}
