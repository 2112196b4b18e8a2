import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Endpoint, TlsOptions } from "../../src/transport.ts";
import { certificates } from "../support/certificates.ts";
import { bytes, readFull, text } from "../support/contract.ts";
import { withTarget } from "../support/stage.ts";
import { startBanner, startSilent, startStalled, startTarget, type Target } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { type Path, paths } from "../support/tls_paths.ts";
import {
  type Hello,
  startAlert,
  startCut,
  startPlain,
  startTls,
  type TlsTargetOptions,
} from "../support/tls_targets.ts";

const { authority, otherAuthority, names, ips, expired, notYetValid, stranger, client } = certificates();
const trusting: TlsOptions = { serverName: "localhost", caCerts: [authority.cert] };

type Said = { code?: string; name: string; message: string };
const told = ({ name, code = "", message }: Said): string => `${name} ${code} ${message}`;

const untrusted = /UNABLE_TO_|SELF_SIGNED|UnknownIssuer/;
const wrongName = /ALTNAME_INVALID|not valid for name/;
const outOfDate = /HAS_EXPIRED|NOT_YET_VALID|certificate expired|not valid yet/;
const notTls = /WRONG_VERSION_NUMBER|corrupt message/;
const hungUp = /ECONNRESET|UnexpectedEof/;
const alert = /ALERT|fatal alert|UNRECOGNIZED_NAME/;

const faults: [what: string, start: () => Promise<Target>, options: TlsOptions, said: RegExp][] = [
  ["an authority that is not known", () => startTls({ certificate: stranger }), {}, untrusted],
  ["an authority that is known to nobody", () => startTls(), { caCerts: undefined }, untrusted],
  ["another authority that is trusted", () => startTls(), { caCerts: [otherAuthority.cert] }, untrusted],
  ["a certificate for another name", () => startTls(), { serverName: "other.example" }, wrongName],
  [
    "a wildcard that is too short",
    () => startTls({ certificate: names }),
    { serverName: "a.b.wild.example" },
    wrongName,
  ],
  ["a name with a certificate for IP addresses", () => startTls({ certificate: ips }), {}, wrongName],
  ["a name that is the common name only", () => startTls({ certificate: ips }), { serverName: "ips" }, wrongName],
  [
    "an IP address that is not in the certificate",
    () => startTls({ certificate: names }),
    { serverName: "127.0.0.1" },
    wrongName,
  ],
  ["another IP address", () => startTls(), { serverName: "127.0.0.2" }, wrongName],
  ["an expired certificate", () => startTls({ certificate: expired }), {}, outOfDate],
  ["a certificate that is not yet valid", () => startTls({ certificate: notYetValid }), {}, outOfDate],
  ["an HTTP server", () => startPlain("HTTP/1.1 400 Bad Request\r\n\r\n"), {}, notTls],
  ["an SSH server", () => startPlain("SSH-2.0-OpenSSH_9.6 a greeting that is long enough\r\n"), {}, notTls],
  ["an end at once", () => startTarget((socket) => socket.end().resume()), {}, hungUp],
  ["an end half-way", () => startPlain("\x16\x03\x03\x00\x7a\x02\x00\x00\x76"), {}, hungUp],
  ["a reset half-way", () => startTarget((socket) => socket.once("data", () => socket.resetAndDestroy())), {}, hungUp],
  ["a handshake failure", () => startAlert(2, 40), {}, alert],
  ["an unknown version", () => startAlert(2, 70), {}, alert],
  ["an unknown name", () => startAlert(2, 112), {}, alert],
  ["no protocol in common", () => startTls({ alpn: ["h2"] }), { alpnProtocols: ["x"] }, alert],
  ["a client without a certificate, of old", () => startTls({ wantsClient: true, isOld: true }), {}, alert],
];

for (const path of paths) {
  for (const [what, start, options, said] of faults) {
    test(`${path.name}: ${what} is an error, and all is closed`, async () => {
      await withTarget(start(), async (target) => {
        const conn = await path.transport.connect(endpoint(target));
        const error = await assertRejects(() => path.start(conn, { ...trusting, ...options }), Error);
        assertMatch(told(error), said);
        await target.until(() => target.open === 0);
        conn.close();
      });
    });
  }

  test(`${path.name}: a name that is in the certificate, also by a wildcard, is sent as SNI`, async () => {
    for (const serverName of ["localhost", "example.com", "a.wild.example"]) {
      assertEquals((await greeted(path, { certificate: names }, { serverName })).serverName, serverName);
    }
  });

  test(`${path.name}: an IP address that is in the certificate will do, and is not sent as SNI`, async () => {
    for (const serverName of ["127.0.0.1", "::1"]) {
      assertEquals((await greeted(path, { certificate: ips }, { serverName })).serverName, null);
    }
  });

  test(`${path.name}: one of the caCerts may be several authorities`, async () => {
    for (const several of [[authority, otherAuthority], [otherAuthority, authority]]) {
      await greeted(path, {}, { caCerts: [several.map(({ cert }) => cert).join("")] });
    }
  });

  test(`${path.name}: ALPN chooses what the server likes best, or nothing`, async () => {
    assertEquals((await greeted(path, { alpn: ["h2", "http/1.1"] }, { alpnProtocols: ["http/1.1", "h2"] })).alpn, "h2");
    assertEquals((await greeted(path, { alpn: ["http/1.1"] }, { alpnProtocols: ["h2", "http/1.1"] })).alpn, "http/1.1");
    assertEquals((await greeted(path, {}, { alpnProtocols: ["h2"] })).alpn, null);
    assertEquals((await greeted(path, { alpn: ["h2"] }, {})).alpn, null);
    assertEquals((await greeted(path, { alpn: ["h2"] }, { alpnProtocols: [] })).alpn, null);
  });

  test(`${path.name}: a server that knows TLS 1.2 and no newer one will do`, async () => {
    assertEquals((await greeted(path, { isOld: true }, {})).protocol, "TLSv1.2");
  });

  test(`${path.name}: a client has the certificate that it was given`, async () => {
    for (const isOld of [false, true]) {
      assertEquals((await greeted(path, { wantsClient: true, isOld }, { ...client })).client, "client");
    }
  });

  test(`${path.name}: a client without a certificate that is wanted hears of it when it reads`, async () => {
    await withTarget(startTls({ wantsClient: true }), async (target) => {
      const conn = await path.start(await path.transport.connect(endpoint(target)), trusting);
      const error = await assertRejects(() => conn.read(new Uint8Array(1)), Error);
      assertMatch(told(error), alert);
      conn.close();
    });
  });

  test(`${path.name}: a connection cut without close_notify reads as an end`, async () => {
    await withTarget(startCut("last words"), async (target) => {
      const conn = await path.start(await path.transport.connect(endpoint(target)), trusting);
      assertEquals(text(await readFull(conn, 10)), "last words");
      for (let i = 0; i < 2; i++) assertEquals(await conn.read(new Uint8Array(1)), null);
      conn.close();
    });
  });

  test(`${path.name}: TLS in TLS`, async () => {
    await withTarget(startTls(), async (inner) => {
      await withTarget(tunnelling(inner), async (outer) => {
        const first = await path.start(await path.transport.connect(endpoint(outer)), trusting);
        const conn = await first.startTls!({ ...trusting, alpnProtocols: ["x"] });
        assertEquals(conn.alpnProtocol, null);
        const all = new Uint8Array(1 << 20).map((_, i) => i % 251);
        const [got] = await Promise.all([readFull(conn, all.length), conn.write(all)]);
        assertEquals(got.every((byte, i) => byte === all[i]), true);
        conn.close();
        first.close();
      });
    });
  });

  if (path.name === "startTlsOver") continue;

  test(`${path.name}: with a read or a write pending it is a TypeError, and the connection is left alone`, async () => {
    await withTarget(startTls(), async (target) => {
      const conn = await path.transport.connect(endpoint(target));
      const reading = conn.read(new Uint8Array(1)).catch(() => {});
      await assertRejects(() => conn.startTls!(trusting), TypeError, "read is pending");
      conn.close();
      await reading;
      await assertRejects(() => conn.startTls!(trusting), TypeError, "closed");
    });
    const stalled = await startStalled();
    const conn = await path.transport.connect(endpoint(stalled));
    const writing = conn.write(new Uint8Array(16 << 20)).catch(() => {});
    await assertRejects(() => conn.startTls!(trusting), TypeError, "write is pending");
    conn.close();
    await writing;
    await stalled.close();
  });

  test(`${path.name}: plaintext that nobody read is an error, and all is closed`, async () => {
    await withTarget(
      startBanner("220 ready\r\n250 injected\r\n"),
      async (target) => {
        const conn = await path.transport.connect(endpoint(target));
        assertEquals(text(await readFull(conn, 11)), "220 ready\r\n");
        const error = await assertRejects(() => conn.startTls!(trusting), Error);
        assertMatch(told(error), path.name === "denoTransport" ? notTls : /UNREAD_PLAINTEXT/);
        await target.until(() => target.open === 0);
      },
    );
  });

  test(`${path.name}: the connection is used up, whatever is done with it`, async () => {
    await withTarget(startTls(), async (target) => {
      const conn = await path.transport.connect(endpoint(target));
      const starting = conn.startTls!(trusting);
      await assertRejects(() => conn.write(bytes("in the clear")), Error);
      const secure = await starting;
      conn.close();
      conn.unref?.();
      await assertRejects(() => conn.read(new Uint8Array(1)), Error);
      await assertRejects(() => conn.write(bytes("in the clear")), Error);
      await assertRejects(() => conn.startTls!(trusting), TypeError);
      await secure.write(bytes("hello"));
      assertEquals(text(await readFull(secure, 5)), "hello");
      assertEquals("detach" in secure, false);
      secure.close();
    });
  });

  test(`${path.name}: TLS over a unix socket`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "socks5-"));
    await withTarget(startTls(), async (target) => {
      const relay = createServer((socket) => tunnel(socket, target));
      const at = join(folder, "tls.sock");
      await new Promise<void>((resolve) => relay.listen(at, resolve));
      const conn = await path.start(await path.transport.connect({ path: at }), trusting);
      await conn.write(bytes("hello"));
      assertEquals(text(await readFull(conn, 5)), "hello");
      conn.close();
      await new Promise((resolve) => relay.close(resolve));
    });
    await rm(folder, { recursive: true });
  });

  test(`${path.name}: close() of the connection ends a handshake that waits`, async () => {
    const target = await startSilent();
    for (const moment of [() => {}, () => Promise.resolve(), () => delay(1), () => delay(30)]) {
      const conn = await path.transport.connect(endpoint(target));
      const starting = path.start(conn, trusting).then(() => "it started", (error: unknown) => error);
      await moment();
      conn.close();
      conn.close();
      const error = await starting;
      assertInstanceOf(error, Error, String(error));
      assert(!(error instanceof TypeError), String(error));
    }
    // Deno's own keeps the first one open until the peer hangs up, and is then not used for that name
    const kept = path.name === "denoTransport" ? 1 : 0;
    await target.until(() => target.open <= kept);
    await target.close();
  });
}

function endpoint({ hostname, port }: Target): Endpoint {
  return { hostname, port };
}

/** What a server saw of a handshake that succeeds. */
async function greeted({ transport, start }: Path, server: TlsTargetOptions, options: TlsOptions): Promise<Hello> {
  const target = await startTls(server);
  try {
    const conn = await start(await transport.connect(endpoint(target)), { ...trusting, ...options });
    await conn.write(bytes("hello"));
    assertEquals(text(await readFull(conn, 5)), "hello");
    const hello = target.hellos[0]!;
    assertEquals(conn.alpnProtocol, hello.alpn);
    conn.close();
    await target.until(() => target.open === 0);
    return hello;
  } finally {
    await target.close();
  }
}

/** Speaks TLS, and passes on what is said in it. */
function tunnelling(target: Target): Promise<Target> {
  return startTls({}, (socket) => tunnel(socket, target));
}

function tunnel(near: Socket, { port, hostname }: Target): void {
  const far = connect(port, hostname);
  for (const [from, to] of [[near, far], [far, near]] as const) {
    from.on("error", () => {}).on("close", () => to.destroy());
    from.pipe(to);
  }
}
