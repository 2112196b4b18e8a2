import { type Address, ATYP, formatHostPort, parseHost } from "../protocol/address.ts";
import { brief, ProtocolError } from "../errors.ts";
import type { AttemptScope } from "../scope.ts";
import type { Transport } from "../transport.ts";

const MOST = 20; // who answers with more does not make a connect go on and on

/** The addresses of a name with its port, in the order of the transport, each once; it throws if there is none. */
export async function lookUp(attempt: AttemptScope, transport: Transport, name: Address): Promise<Address[]> {
  attempt.enter("lookup");
  let found: unknown;
  try {
    found = await transport.lookup!(name.hostname, { signal: attempt.signal });
  } catch (cause) {
    const why = `this machine did not find the name (${brief(cause)})`;
    throw new ProtocolError("SOCKS5_TARGET_NOT_FOUND", why, null, cause);
  }
  if (!Array.isArray(found)) throw noAddresses(typeof found);
  const addresses = found.slice(0, MOST).map((text) => parseIp(text, name.port));
  if (addresses.length === 0) {
    throw new ProtocolError("SOCKS5_TARGET_NOT_FOUND", "this machine knows no address of the name");
  }
  return [...new Map(addresses.map((address) => [address.name, address])).values()];
}

function parseIp(text: unknown, port: number): Address {
  const host = typeof text === "string" ? parseHost(text) : "";
  if (typeof host !== "string" && host.atyp !== ATYP.DOMAIN) {
    return { ...host, port, name: formatHostPort(host.hostname, port) };
  }
  throw noAddresses(typeof text === "string" ? JSON.stringify(text.slice(0, 100)) : typeof text);
}

function noAddresses(got: string): TypeError {
  return new TypeError(`Cannot use the result of lookup() as a list of IP addresses: current value is ${got}`);
}
