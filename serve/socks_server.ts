import { type Address, ATYP, decodeHost, parseTarget } from "../src/protocol/address.ts";
import type { Accepted } from "./client_conn.ts";
import { failureOf } from "./error_mapping.ts";
import { type Pass, utf8, WRONG_PASSWORD } from "./auth.ts";
import { type Inbox, sourceOf } from "./buffered_reader.ts";
import type { Plan } from "./options.ts";
import { relay } from "./tunnel.ts";
import type { Route } from "./connector.ts";

const REP = { SUCCEEDED: 0x00, FAILED: 0x01, NOT_ALLOWED: 0x02, BAD_COMMAND: 0x07, BAD_ADDRESS_TYPE: 0x08 } as const;

/** Speaks SOCKS5 with a client: no password or that of RFC 1929, and CONNECT alone. */
export async function serveSocks(client: Accepted, inbox: Inbox, route: Route, plan: Plan): Promise<void> {
  const asked = await client.within(plan.headTimeout, negotiated(client, inbox, plan));
  if (asked === null) return await client.linger();
  const { target, pass } = asked;
  const conn = await route.connect(target, pass, client).catch((error) => failureOf(error).rep);
  if (typeof conn === "number") return await refuse(client, conn);
  try {
    await client.write(reply(REP.SUCCEEDED));
    await relay(client, inbox, conn, sourceOf(conn));
  } finally {
    conn.close();
  }
}

/** Who wants to go where; `null` if the client was refused. */
async function negotiated(client: Accepted, inbox: Inbox, plan: Plan): Promise<{ target: Address; pass: Pass } | null> {
  const pass = await authenticated(client, inbox, plan);
  if (pass === null) return null;
  const [ver, cmd, , atyp] = await inbox.exactly(4);
  const refused = (rep: number) => client.write(reply(rep)).then(() => null);
  if (ver !== 0x05) return await refused(REP.FAILED);
  if (cmd !== 0x01) return await refused(REP.BAD_COMMAND);
  const hostname = await host(inbox, atyp!);
  if (hostname === null) return await refused(REP.BAD_ADDRESS_TYPE);
  const [high, low] = await inbox.exactly(2);
  try {
    return { target: parseTarget({ hostname, port: high! << 8 | low! }), pass };
  } catch {
    return await refused(REP.FAILED);
  }
}

async function authenticated(client: Accepted, inbox: Inbox, { gate }: Plan): Promise<Pass | null> {
  const [, nmethods] = await inbox.exactly(2);
  const methods = await inbox.exactly(nmethods!);
  const method = gate.asks ? 0x02 : 0x00;
  if (!methods.includes(method)) {
    await client.write(Uint8Array.of(0x05, 0xff));
    return null;
  }
  await client.write(Uint8Array.of(0x05, method));
  if (!gate.asks) return gate.admit(null);
  const [ver, ulen] = await inbox.exactly(2);
  const username = utf8(await inbox.exactly(ulen!));
  const [plen] = await inbox.exactly(1);
  const password = utf8(await inbox.exactly(plen!));
  const given = ver === 0x01 && username !== null && password !== null ? { username, password } : null;
  const pass = given && gate.admit(given);
  if (pass === null) await client.pause(WRONG_PASSWORD);
  await client.write(Uint8Array.of(0x01, pass === null ? 0x01 : 0x00));
  return pass;
}

async function host(inbox: Inbox, atyp: number): Promise<string | null> {
  if (atyp === ATYP.IPV4) return decodeHost(atyp, await inbox.exactly(4));
  if (atyp === ATYP.IPV6) return decodeHost(atyp, await inbox.exactly(16));
  if (atyp !== ATYP.DOMAIN) return null;
  const [length] = await inbox.exactly(1);
  return utf8(await inbox.exactly(length!)) ?? "";
}

async function refuse(client: Accepted, rep: number): Promise<void> {
  await client.write(reply(rep));
  await client.linger();
}

/** BND.ADDR and BND.PORT are zero: nobody needs them for CONNECT. */
function reply(rep: number): Uint8Array {
  return Uint8Array.of(0x05, rep, 0x00, ATYP.IPV4, 0, 0, 0, 0, 0, 0);
}
