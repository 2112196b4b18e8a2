import { assert, assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { main } from "../../cli/mod.ts";
import { lineOf } from "../../cli/connection_log.ts";
import { redactArgs } from "../../cli/proxies.ts";
import { certificates } from "../support/certificates.ts";
import { cli, type FakeIo, fakeIo, type FakeOptions, startCli } from "../support/cli.ts";
import { basicOf } from "../support/serve_stage.ts";
import { createTestProxy, type TestProxy } from "../../testing/mod.ts";
import { quick, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const PORT = /^export http_proxy=https?:\/\/[\d.]+:(\d+) /;
const ENDING = /^socks5: ending: connections have \d+ seconds?; a second signal ends it at once\n$/m;

interface Stage {
  directory: string;
  proxies: readonly TestProxy[];
}

/** A directory, and two proxies that lead to an echo. */
async function withStage(use: (stage: Stage) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "socks5-"));
  const credentials = { username: "alice", password: "sesame" };
  const proxies = await Promise.all([1, 2].map(() => createTestProxy({ credentials, rules: () => "echo" })));
  try {
    await use({ directory, proxies });
  } finally {
    for (const proxy of proxies) await proxy.close();
    rmSync(directory, { recursive: true });
  }
}

/** Runs a command until `use` is over, then ends it by SIGTERM; gives what it ended with. */
async function running(
  args: readonly string[],
  use: (io: FakeIo, port: number) => Promise<void>,
  options?: FakeOptions,
): Promise<{ code: number; err: string }> {
  const io = fakeIo(options);
  const ended = main(args, io);
  await Promise.race([io.until(() => io.out !== ""), ended]);
  if (io.out === "") assert(false, io.err);
  try {
    await use(io, Number(PORT.exec(io.out)?.[1]));
  } finally {
    if (!io.err.includes("ending: ")) io.signal("SIGTERM"); // a second one would end it at once
  }
  return { code: await ended, err: io.err };
}

/** Says something to a port, and gives the socket and the first bytes of the answer. */
async function say(to: number | string, text: string): Promise<[Socket, string]> {
  const socket = typeof to === "string" ? connect(to) : connect(to, "127.0.0.1");
  socket.on("error", () => {}); // it may be reset
  socket.write(text);
  const [chunk] = await once(socket, "data");
  return [socket, String(chunk)];
}

const CONNECT = (user?: string, password = "x") =>
  `CONNECT echo.test:7 HTTP/1.1\r\n${
    user === undefined ? "" : `Proxy-Authorization: ${basicOf(user, password)}\r\n`
  }\r\n`;

async function statusOf(to: number | string, text: string): Promise<string> {
  const [socket, answer] = await say(to, text);
  socket.destroy();
  return answer.slice(9, 12);
}

test("--log appends a line for each connection, which tells its session and proxy and no secret", () =>
  withStage(async ({ directory, proxies }) => {
    for (const format of ["text", "json"]) {
      const file = join(directory, format);
      const args = ["serve", ...proxies.map(({ url }) => url), "--session", "--log", file, "--log-format", format];
      const { code, err } = await running(args, async (_, port) => {
        const [socket] = await say(port, CONNECT("bob=\u00e9 x"));
        socket.write("ping");
        assertEquals(String((await once(socket, "data"))[0]), "ping");
        socket.destroy();
        await until(() => readFileSync(file, "utf8").endsWith("\n"));
        assertEquals(await statusOf(port, CONNECT()), "407");
        assertEquals(await statusOf(port, CONNECT("eve")), "200");
      });
      assertEquals(code, 0);
      assertMatch(err, ENDING);
      const lines = readFileSync(file, "utf8").trimEnd().split("\n");
      assertEquals(lines.length, 2);
      assert(!/alice|sesame/.test(lines.join()));
      if (process.platform !== "win32") assertEquals(statSync(file).mode & 0o777, 0o600);
      if (format === "text") {
        const line =
          /^time=20\S+Z listener=127\.0\.0\.1:\d+ id=1 client=127\.0\.0\.1:\d+ protocol=connect session="bob=\u00e9 x" target=echo\.test:7 proxy=127\.0\.0\.1:\d+ verdict=ok ms=[\d.]+ duration=[\d.]+ sent=4 received=4$/;
        assertMatch(lines[0]!, line);
      } else {
        const { session, sent, verdict, listener } = JSON.parse(lines[0]!);
        assertEquals([session, sent, verdict, /^127\.0\.0\.1:\d+$/.test(listener)], ["bob=\u00e9 x", 4, "ok", true]);
      }
    }
  }));

test("nothing that a client sends makes a line of the log two, or one member another", () => {
  const entry = {
    ...{ id: 1, time: "2026-01-01T00:00:00.000Z", client: "127.0.0.1:1", protocol: "socks5" as const },
    ...{ session: 'a\n"b" verdict=ok\u001b[31m', target: "x y:1", proxy: undefined, verdict: "refused" as const },
    ...{ status: undefined, ms: undefined, duration: 1, sent: 0, received: 0 },
  };
  const line = lineOf("text", "127.0.0.1:2", entry);
  assertEquals(
    line,
    'time=2026-01-01T00:00:00.000Z listener=127.0.0.1:2 id=1 client=127.0.0.1:1 protocol=socks5 session="a\\n\\"b\\" verdict=ok\\u001b[31m" target="x y:1" verdict=refused duration=1 sent=0 received=0',
  );
  assertEquals(JSON.parse(lineOf("json", "127.0.0.1:2", entry)).session, entry.session);
});

test("SIGHUP reads the list again and opens the log again; what is connected stays", () =>
  withStage(async ({ directory, proxies: [first, second] }) => {
    const [list, log] = [join(directory, "list"), join(directory, "log")];
    writeFileSync(list, `${first!.url}\n`);
    await running(["serve", "--proxies", list, "--log", log], async (io, port) => {
      const [tunnel] = await say(port, CONNECT());
      renameSync(log, `${log}.1`);
      writeFileSync(list, `${second!.url}\n`);
      assert(io.hangup());
      await io.until(() => io.err.includes("read again: 1 proxy for 1 listener\n"));
      assertEquals(await statusOf(port, CONNECT()), "200");
      assertEquals([first!.connections.length, second!.connections.length], [1, 1]);
      await until(() => existsSync(log) && readFileSync(log, "utf8").includes(`proxy=127.0.0.1:${second!.port} `));
      tunnel.write("still here");
      assertEquals(String((await once(tunnel, "data"))[0]), "still here");
      for (
        const [text, why] of [
          [`${first!.url}\nsesame:x\n`, `line 2 of ${list} as SOCKS5 proxy`],
          ["# none\n", "no proxy is in"],
          [null, "there is no such file"],
        ]
      ) {
        if (text === null) rmSync(list);
        else writeFileSync(list, text!);
        const before = io.err.length;
        io.hangup();
        await io.until(() => io.err.slice(before).endsWith("\n"));
        assertMatch(io.err.slice(before), /^socks5: nothing has changed: /);
        assert(io.err.slice(before).includes(why!) && !io.err.includes("sesame"), io.err);
      }
      assertEquals(await statusOf(port, CONNECT()), "200");
      assertEquals(second!.connections.length, 2);
      tunnel.destroy();
    });
    assertEquals(existsSync(`${log}.1`), true);
  }));

test("without a file to read again, SIGHUP is left to end the command", () =>
  withStage(({ proxies }) =>
    running(["serve", proxies[0]!.url], (io) => {
      assertEquals(io.hangup(), false);
      return Promise.resolve();
    }).then(({ code }) => assertEquals(code, 0))
  ));

test("--listen takes a host with a port, or a unix socket; --credentials a user, or a file with one", () =>
  withStage(async ({ directory, proxies: [proxy] }) => {
    const path = join(directory, "a.sock");
    const file = join(directory, "secret");
    writeFileSync(file, "carol:p:q\r\nmore\n");
    const own = ["--credentials", "carol:p:q"];
    await running(["serve", proxy!.url, "--listen", "0.0.0.0:0", ...own], async (io) => {
      const [, port] = /^export http_proxy=http:\/\/0\.0\.0\.0:(\d+) /.exec(io.out)!;
      assertEquals(await statusOf(Number(port), CONNECT("carol", "p:q")), "200");
      assertEquals(await statusOf(Number(port), CONNECT()), "407");
    });
    await running(["serve", proxy!.url, "--listen", "0", "--credentials", file], async (_, port) => {
      assertEquals(await statusOf(port, CONNECT("carol", "p:q")), "200");
    });
    await running(["serve", proxy!.url, "--session", "--credentials=:p"], async (_, port) => {
      assertEquals(await statusOf(port, CONNECT("anyone", "p")), "200");
      assertEquals(await statusOf(port, CONNECT("anyone", "q")), "407");
    });
    await running(["serve", `socks5h://127.0.0.1:${proxy!.port}`, "--forward-credentials"], async (_, port) => {
      assertEquals(await statusOf(port, CONNECT("alice", "sesame")), "200");
      assertEquals(await statusOf(port, CONNECT("alice", "other")), "407");
    });
    if (process.platform === "win32") return;
    await running(["serve", proxy!.url, "--listen", path], async (io) => {
      assert(io.out.startsWith(`export http_proxy=socks5h://localhost${path} `), io.out);
      assertEquals(await statusOf(path, CONNECT()), "200");
    });
  }));

test("--cert and --key make it a port with TLS", () =>
  withStage(async ({ directory, proxies: [proxy] }) => {
    const { cert, key } = certificates().both;
    const [certFile, keyFile] = [join(directory, "cert"), join(directory, "key")];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
    await running(["serve", proxy!.url, "--cert", certFile, "--key", keyFile], (io) => {
      assertMatch(io.out, /^export http_proxy=https:\/\/127\.0\.0\.1:\d+ /);
      return Promise.resolve();
    });
    const { code, err } = await cli(["serve", proxy!.url, "--cert", certFile, "--key", certFile]);
    assertEquals([code, err], [
      2,
      "socks5: Cannot use --key as the private key of tls.cert (try: socks5 serve --help)\n",
    ]);
  }));

test("--drain says how long connections may take; --quiet says nothing", () =>
  withStage(async ({ proxies: [proxy] }) => {
    const tunnels: Socket[] = [];
    const quiet = await running(["serve", proxy!.url, "--quiet", "--drain", "0"], async (_, port) => {
      assertEquals(await statusOf(port, "CONNECT a.test:1 HTTP/1.1\r\n\r\n"), "200");
      tunnels.push((await say(port, CONNECT()))[0]);
    });
    assertEquals(quiet, { code: 0, err: "" });
    const drained = await running(["serve", proxy!.url, "--drain", "60"], async (io, port) => {
      const [tunnel] = await say(port, CONNECT());
      io.signal("SIGTERM");
      await io.until(() => io.err.includes("ending: connections have 60 seconds"));
      tunnel.write("still here");
      assertEquals(String((await once(tunnel, "data"))[0]), "still here");
      tunnel.end();
    });
    assertEquals(drained.code, 0);
    for (const tunnel of tunnels) if (!tunnel.closed) await once(tunnel, "close");
  }));

const wrong: [args: string[], why: string][] = [
  [["--listen", "0.0.0.0:0"], "Cannot use --listen as a loopback name (127.0.0.1, ::1, localhost) unless clients"],
  [["--listen", "0.0.0.0:0", "--session"], "Cannot use --listen as a loopback name"],
  [["--listen", "web.test"], "--listen takes HOST:PORT, or the path of a unix socket"],
  [["--listen", "1", "--port", "2"], "give --listen or --port"],
  [["--credentials", "hush"], "cannot read the file of --credentials: there is no such file"],
  [["--credentials", "a:hush", "--session"], "with --session, --credentials takes :PASSWORD, for any user name"],
  [["--credentials", ":hush"], "Cannot use --credentials as user name and password"],
  [["--forward-credentials", "--session"], "--forward-credentials goes with neither --session nor --credentials"],
  [["--balance", "best"], 'Cannot use --balance as "first", "round-robin", "random", "least-open" or "fastest"'],
  [["--log-format", "json"], "--log-format needs --log FILE"],
  [["--log", "x", "--log-format", "xml"], "--log-format takes text or json"],
  [["--log", "/nowhere/log"], "cannot write /nowhere/log: there is no such file"],
  [["--cert", "x"], "give --cert and --key together"],
  [["--quiet", "--verbose"], "give --quiet or --verbose"],
  [["--drain", "-1"], "--drain takes a whole number from 0"],
  [["--max-clients", "0"], "--max-clients takes a whole number from 1"],
];

for (const [args, why] of wrong) {
  test(`socks5 serve ${args.join(" ").replace("a:hush", "\u2026")} is 2`, async () => {
    const { code, out, err } = await cli(["serve", "socks5h://127.0.0.1:1", ...args]);
    assertEquals([code, out], [2, ""], err);
    assert(err.startsWith(`socks5: ${why}`), err);
    assert(!/:hush|is a string|redacted/.test(err), err);
  });
}

test("--credentials are not in the list of processes", () => {
  assertEquals(
    redactArgs(["serve", "--credentials", "a:hush", "--credentials=:hush", "--credentials", "file", "socks5h://a:b@c"]),
    "serve --credentials (redacted) --credentials=(redacted) --credentials (redacted) socks5h://(redacted)@c",
  );
});

test(
  "in a process of its own: SIGHUP reads the list again, SIGTERM drains, a second one ends it at once",
  () =>
    withStage(async ({ directory, proxies: [first, second] }) => {
      const list = join(directory, "list");
      writeFileSync(list, first!.url);
      const started = startCli(["serve", "--proxies", list]);
      await started.until(() => PORT.test(started.out()));
      const port = Number(PORT.exec(started.out())![1]);
      const [tunnel] = await say(port, CONNECT());
      writeFileSync(list, second!.url);
      started.kill("SIGHUP");
      await started.until(() => started.err().includes("read again"));
      assertEquals(await statusOf(port, CONNECT()), "200");
      assertEquals([first!.connections.length, second!.connections.length], [1, 1]);
      started.kill("SIGTERM");
      await started.until(() => started.err().includes("ending"));
      tunnel.write("still here");
      assertEquals(String((await once(tunnel, "data"))[0]), "still here");
      started.kill("SIGTERM");
      assertEquals((await started.ended).code, 143);
      tunnel.destroy();
    }),
  { skip: quick || process.platform === "win32" && "it has no SIGHUP" },
);
