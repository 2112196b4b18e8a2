import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Socks5Client } from "../../mod.ts";
import { serve, type ServeOptions } from "../../serve/mod.ts";
import { certificates } from "../support/certificates.ts";
import { bytes, text } from "../support/contract.ts";
import { readHead, socksRequest, withLocalProxy } from "../support/serve_stage.ts";
import { missing, runClient } from "../support/client_program.ts";
import { startTarget } from "../support/targets.ts";
import { withTarget } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const { both } = certificates();
const TLS = { cert: both.cert, key: both.key };
const PROXY = "socks5h://127.0.0.1:1";
const isWindows = process.platform === "win32" && "unix sockets have other paths there";

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "socks5-"));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const startWeb = () =>
  startTarget((socket) => {
    socket.on("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
  });

const speaks: Record<string, [said: string | Uint8Array, head: number]> = {
  "CONNECT": ["CONNECT echo.test:7 HTTP/1.1\r\n\r\n", 39],
  "SOCKS5": [Uint8Array.of(5, 1, 0, ...socksRequest("echo.test", 7)), 12],
};
const AT = { "TLS": () => ({ tls: TLS }), "a unix socket": (directory: string) => ({ path: `${directory}/a b.sock` }) };

for (const [where, options] of Object.entries(AT)) {
  for (const [how, [said, head]] of Object.entries(speaks)) {
    test(
      `the local proxy speaks ${how} by ${where}: bytes both ways, and each end by itself`,
      () =>
        withDirectory((directory) =>
          withLocalProxy({ proxy: { rules: () => "echo" }, serve: options(directory) }, async ({ dial, proxy }) => {
            const raw = await dial(said);
            await raw.read(head);
            const much = Buffer.alloc(300_000, "0123456789");
            await raw.write(much);
            assert(much.equals(await raw.read(much.length)));
            await raw.write(bytes("last"));
            raw.end();
            assertEquals(await raw.finish(), { bytes: bytes("last"), ending: "end" });
            await proxy.until(() => proxy.open === 0);
          })
        ),
      { skip: isWindows },
    );
  }

  test(
    `by ${where} a target that resets ends the client's connection, and nothing else`,
    () =>
      withDirectory((directory) =>
        withTarget(
          startTarget((socket) => void socket.once("data", () => socket.resetAndDestroy())),
          (target) =>
            withLocalProxy({
              proxy: { rules: () => target },
              serve: options(directory),
            }, async ({ dial }) => {
              for (const _ of [1, 2]) {
                const raw = await dial(speaks.CONNECT![0]);
                await readHead(raw);
                await raw.write(bytes("x"));
                await raw.finish();
              }
            }),
        )
      ),
    { skip: isWindows },
  );
}

test("with TLS the URL is https:, what is no TLS is hung up on, and who says nothing after headTimeout", () =>
  withLocalProxy({ proxy: { rules: () => "echo" }, serve: { tls: TLS, headTimeout: 100 } }, async (stage) => {
    const { localProxy, dial } = stage;
    assertEquals(localProxy.url, `https://127.0.0.1:${localProxy.port}`);
    const plain = connect(localProxy.port, "127.0.0.1");
    plain.write("CONNECT echo.test:7 HTTP/1.1\r\n\r\n");
    const silent = connect(localProxy.port, "127.0.0.1");
    for (const socket of [plain, silent]) {
      socket.on("error", () => {}).resume();
      await new Promise((resolve) => socket.once("close", resolve));
    }
    const raw = await dial(speaks.CONNECT![0]);
    assertMatch(await readHead(raw), /^HTTP\/1.1 200 /);
    raw.close();
    await raw.finish();
  }));

test(
  "curl goes through a local proxy with TLS, and through one on a unix socket",
  () =>
    withDirectory((directory) =>
      withTarget(startWeb(), (web) =>
        withLocalProxy({
          proxy: { rules: () => web },
          serve: { tls: TLS },
        }, async ({ client, localProxy }) => {
          await using unix = await serve(client, { path: `${directory}/a b.sock` });
          const url = localProxy.url.replace("127.0.0.1", "localhost");
          const insecure = "--proxy-insecure";
          for (const args of [["-x", url, insecure], ["-px", url, insecure], ["-x", unix.url]]) {
            const curl = await runClient(directory, "curl", ["-q", "-sS", "-m", "10", ...args, "http://web.test/"]);
            assertEquals([curl.out, curl.err], ["ok", ""]);
          }
        }))
    ),
  { skip: missing("curl") || isWindows },
);

test(
  "the local proxy on a unix socket: its URL is one of a proxy, only its user may connect, and its file goes",
  () =>
    withDirectory(async (directory) => {
      const path = `${directory}/a b#.sock`;
      const log: string[] = [];
      await withLocalProxy(
        { proxy: { rules: () => "echo" }, serve: { path, log: (it) => log.push(it.client) } },
        async (stage) => {
          const { localProxy } = stage;
          assertEquals(localProxy.url, `socks5h://localhost${directory}/a%20b%23.sock`);
          assertEquals([localProxy.hostname, localProxy.port, localProxy.path], ["", 0, path]);
          assertEquals(statSync(path).mode & 0o022, 0);
          const client = new Socks5Client(localProxy.url);
          const conn = await client.connect("echo.test:7");
          await conn.write(bytes("ping"));
          const answer = new Uint8Array(4);
          await conn.read(answer);
          assertEquals(text(answer), "ping");
          await client.close();
          await until(() => log.length === 1);
          const error = await assertRejects(() => serve(PROXY, { path }));
          assertEquals((error as { code?: string }).code, "EADDRINUSE");
        },
      );
      assertEquals([log, existsSync(path)], [[""], false]);
    }),
  { skip: isWindows },
);

test(
  "the unix socket of a process that was killed is replaced, and no other file is",
  () =>
    withDirectory(async (directory) => {
      const path = `${directory}/left.sock`;
      const code = `require("net").createServer().listen(process.argv[1], () => console.log("listens"))`;
      const child = spawn("node", ["-e", code, path], { stdio: ["ignore", "pipe", "inherit"] });
      await once(child.stdout, "data");
      child.kill("SIGKILL");
      await once(child, "close");
      assert(existsSync(path));
      const local = await serve(PROXY, { path });
      await local.close();
      writeFileSync(path, "precious");
      await assertRejects(() => serve(PROXY, { path }));
      assertEquals(readFileSync(path, "utf8"), "precious");
    }),
  { skip: isWindows },
);

const wrong: [options: object, type: typeof TypeError, message: RegExp][] = [
  [{ path: "relative" }, TypeError, /^Cannot use path as the absolute path of a unix socket, of at most 107 bytes: /],
  [{ path: `/${"x".repeat(107)}` }, TypeError, /path/],
  [{ path: "/a\nb" }, TypeError, /path/],
  [{ path: 1 }, TypeError, /path/],
  [{ path: "/a", port: 1 }, TypeError, /^Cannot combine path with hostname, port or tls$/],
  [{ path: "/a", hostname: "localhost" }, TypeError, /combine/],
  [{ path: "/a", tls: TLS }, TypeError, /combine/],
  [{ tls: true }, TypeError, /tls/],
  [{ tls: { cert: TLS.cert } }, TypeError, /^Cannot use tls.key as PEM: current value is \(redacted\)$/],
  [{ tls: { cert: "hush", key: "hush" } }, TypeError, /^Cannot use tls.cert as PEM: current value is \(redacted\)$/],
  [{ tls: { ...TLS, passphrase: "hush" } }, TypeError, /passphrase/],
  [
    { tls: { cert: TLS.cert, key: "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----" } },
    TypeError,
    /^Cannot use tls.key as the private key of tls.cert: current value is \(redacted\)$/,
  ],
  [{ tls: { cert: TLS.cert, key: certificates().client.key } }, TypeError, /tls.key/],
  [{ onConnection: true }, TypeError, /onConnection/],
  [{ log: "file" }, TypeError, /log/],
];

for (const [options, type, message] of wrong) {
  const shown = JSON.stringify(options, (_, value) => typeof value === "string" ? value.slice(0, 20) : value);
  test(`serve() refuses ${shown.replaceAll("hush", "\u2026")} before it listens`, async () => {
    const error = await assertRejects(() => serve(PROXY, options as ServeOptions), type);
    assertMatch(error.message, message);
    assertEquals(error.message.includes("hush"), false);
  });
}
