import { ATYP, decodeHost, parseTarget } from "../src/protocol/address.ts";
import type { ClientConn } from "./client_conn.ts";
import { mapError } from "./error_mapping.ts";
import { type ClientIdentity, decodeUtf8 } from "./auth.ts";
import type { BufferedReader } from "./buffered_reader.ts";
import type { ServeConfig } from "./options.ts";
import type { Asked, Connection } from "./connection.ts";
import type { Connector } from "./connector.ts";

const REP = { SUCCEEDED: 0x00, FAILED: 0x01, NOT_ALLOWED: 0x02, BAD_COMMAND: 0x07, BAD_ADDRESS_TYPE: 0x08 } as const;

/** Speaks SOCKS5 with a client: no password or that of RFC 1929, and CONNECT alone. Gives what is to be a tunnel. */
export async function serveSocks(
  client: ClientConn,
  reader: BufferedReader,
  connector: Connector,
  config: ServeConfig,
): Promise<Connection | undefined> {
  const asked = await client.withTimeout(config.headTimeout, negotiated(client, reader, connector, config));
  if (asked === null) return void await client.linger();
  try {
    return await connector.open(client, asked, reply(REP.SUCCEEDED));
  } catch (error) {
    await client.write(reply(mapError(error).rep));
    return void await client.linger();
  }
}

/** Who wants to go where; `null` if the client was refused. */
async function negotiated(
  client: ClientConn,
  reader: BufferedReader,
  connector: Connector,
  config: ServeConfig,
): Promise<Asked | null> {
  const identity = await authenticated(client, reader, connector, config);
  if (identity === null) return null;
  const [ver, cmd, , atyp] = await reader.readFull(4);
  const refused = (rep: number) => client.write(reply(rep)).then(() => null);
  if (ver !== 0x05) return await refused(REP.FAILED);
  if (cmd !== 0x01) return await refused(REP.BAD_COMMAND);
  const hostname = await host(reader, atyp!);
  if (hostname === null) return await refused(REP.BAD_ADDRESS_TYPE);
  const [high, low] = await reader.readFull(2);
  try {
    return { protocol: "socks5", identity, target: parseTarget({ hostname, port: high! << 8 | low! }) };
  } catch {
    return await refused(REP.FAILED);
  }
}

async function authenticated(
  client: ClientConn,
  reader: BufferedReader,
  connector: Connector,
  { auth }: ServeConfig,
): Promise<ClientIdentity | null> {
  const [, nmethods] = await reader.readFull(2);
  const methods = await reader.readFull(nmethods!);
  const method = auth.isRequired ? 0x02 : 0x00;
  if (!methods.includes(method)) {
    await client.write(Uint8Array.of(0x05, 0xff));
    return null;
  }
  await client.write(Uint8Array.of(0x05, method));
  if (!auth.isRequired) return auth.authenticate(null);
  const [ver, ulen] = await reader.readFull(2);
  const username = decodeUtf8(await reader.readFull(ulen!));
  const [plen] = await reader.readFull(1);
  const password = decodeUtf8(await reader.readFull(plen!));
  const given = ver === 0x01 && username !== null && password !== null ? { username, password } : null;
  const identity = given && auth.authenticate(given);
  if (identity === null) await connector.refuse(client, "socks5");
  await client.write(Uint8Array.of(0x01, identity === null ? 0x01 : 0x00));
  return identity;
}

async function host(reader: BufferedReader, atyp: number): Promise<string | null> {
  if (atyp === ATYP.IPV4) return decodeHost(atyp, await reader.readFull(4));
  if (atyp === ATYP.IPV6) return decodeHost(atyp, await reader.readFull(16));
  if (atyp !== ATYP.DOMAIN) return null;
  const [length] = await reader.readFull(1);
  return decodeUtf8(await reader.readFull(length!)) ?? "";
}

/** BND.ADDR and BND.PORT are zero: nobody needs them for CONNECT. */
function reply(rep: number): Uint8Array {
  return Uint8Array.of(0x05, rep, 0x00, ATYP.IPV4, 0, 0, 0, 0, 0, 0);
}
