import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { setImmediate as turn } from "node:timers/promises";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { readFull, text } from "../support/contract.ts";
import { quick, test } from "../support/test.ts";

const moments: Record<string, () => unknown> = { "in the same tick": () => {}, "a turn later": () => turn() };

for (const [when, moment] of Object.entries(moments)) {
  test(`tls.connect() over a detached net.Socket, ${when}, speaks to a server whose authority it knows`, async () => {
    await withServer(async ({ port, ca }) => {
      const socket = await handedOver(port);
      await moment();
      const secure = connectTls({ socket, servername: "localhost", ca });
      await once(secure, "secureConnect");
      assertEquals([secure.authorized, secure.encrypted], [true, true]);
      secure.write("ping");
      assertEquals(await textOf(secure), "pong: ping");
      await gone(secure, socket);
    });
  }, { skip: quick });

  test(
    `tls.connect() over a detached net.Socket, ${when}, refuses a server whose authority it does not know`,
    async () => {
      await withServer(async ({ port, otherCa }) => {
        const socket = await handedOver(port);
        await moment();
        const secure = connectTls({ socket, servername: "localhost", ca: otherCa });
        const error = await assertRejects(() => once(secure, "secureConnect"), Error);
        assertMatch(`${(error as { code?: string }).code} ${error.message}`, /certificate|issuer/i);
        await gone(secure, socket);
      });
    },
    { skip: quick },
  );

  test(`tls.connect() over a detached net.Socket, ${when}, refuses a server of another name`, async () => {
    await withServer(async ({ port, ca }) => {
      const socket = await handedOver(port);
      await moment();
      const secure = connectTls({ socket, servername: "example.com", ca });
      const error = await assertRejects(() => once(secure, "secureConnect"), Error);
      assertMatch(`${(error as { code?: string }).code} ${error.message}`, /ALTNAME|NotValidForName|altnames/i);
      await gone(secure, socket);
    });
  }, { skip: quick });
}

/** A connection on which a handshake was read before, as through a proxy. */
async function handedOver(port: number): Promise<Socket> {
  const conn = await nodeTransport.connect({ hostname: "127.0.0.1", port });
  assertEquals(text(await readFull(conn, 5)), "HELLO");
  return conn.detach!().socket;
}

async function gone(secure: TLSSocket, socket: Socket): Promise<void> {
  if (!secure.closed) await once(secure, "close");
  assertEquals([secure.destroyed, socket.destroyed], [true, true]);
}

type Fixture = { port: number; ca: string; otherCa: string };

/** Runs a TLS server behind a relay that says HELLO first. */
async function withServer(check: (fixture: Fixture) => Promise<void>): Promise<void> {
  const { key, cert, ca, otherCa } = await certificates();
  const server = createTlsServer({ key, cert }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", (said) => socket.end(`pong: ${said}`));
  });
  server.on("tlsClientError", (_, socket) => socket.destroy()); // a client that refuses is what is tested
  const target = await listening(server);
  const relay = createServer((near) => {
    near.write("HELLO");
    const far = connect(target, "127.0.0.1");
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on("error", () => {}).on("close", () => to.destroy());
      from.pipe(to);
    }
  });
  try {
    await check({ port: await listening(relay), ca, otherCa });
  } finally {
    await Promise.all([server, relay].map((it) => new Promise((resolve) => it.close(resolve))));
  }
}

async function listening(server: Server): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
}

let made: Promise<{ key: string; cert: string; ca: string; otherCa: string }> | undefined;

/** A certificate for localhost, the authority that signed it, and one that did not. */
function certificates(): NonNullable<typeof made> {
  return made ??= (async () => {
    const folder = await mkdtemp(join(tmpdir(), "socks5-tls-"));
    const openssl = (command: string) => promisify(execFile)("openssl", command.split(" "), { cwd: folder });
    const newKey = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for (const ca of ["ca", "other"]) {
      await openssl(`req -x509 ${newKey} -keyout ${ca}.key -out ${ca}.pem -days 2 -subj /CN=${ca}`);
    }
    await openssl(`req ${newKey} -keyout server.key -out server.csr -subj /CN=localhost`);
    await writeFile(join(folder, "names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n");
    await openssl(
      "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
    const read = (name: string) => readFile(join(folder, name), "utf8");
    const [key, cert, ca, otherCa] = await Promise.all(["server.key", "server.pem", "ca.pem", "other.pem"].map(read));
    await rm(folder, { recursive: true });
    return { key: key!, cert: cert!, ca: ca!, otherCa: otherCa! };
  })();
}
