import { assert, assertEquals, assertMatch } from "@std/assert";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { main } from "../../cli/mod.ts";
import { fakeIo, startCli } from "../support/cli.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import { noIpv6, startBanner, startEcho, startSilent } from "../support/targets.ts";
import { quick, test } from "../support/test.ts";

const ALICE = { username: "alice", password: "sesame" };
const LINE = /^export http_proxy=(http:\/\/127\.0\.0\.1:(\d+)) https_proxy=\1 all_proxy=\1\n$/;

/** What a connection to a port of loopback says, once it is `length` bytes, to what it was sent. */
async function ask(port: number, question: string, length: number, host = "127.0.0.1"): Promise<string> {
  const socket = connect(port, host);
  if (question !== "") socket.write(question);
  const answer = await read(socket, length);
  socket.destroy();
  return answer;
}

async function read(socket: Socket, length: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  const size = () => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  for (; size() < length;) {
    const [chunk] = await once(socket, "data");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

test("socks5 serve says how it is used, leads through the proxy, and ends with a signal", () =>
  withTarget(startEcho(), (echo) =>
    withProxy({ credentials: ALICE }, async (proxy) => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        const io = fakeIo();
        const running = main(["serve", proxy.url], io);
        await io.until(() => io.out !== "");
        const [, , port] = LINE.exec(io.out)!;
        const head = `CONNECT ${echo.address} HTTP/1.1\r\nHost: ${echo.address}\r\n\r\n`;
        assertMatch(await ask(Number(port), head, 12), /^HTTP\/1\.1 200/);
        io.signal(signal);
        assertEquals([await running, io.listeners], [0, 0]);
        assertEquals(io.err, "socks5: ending: connections have 5 seconds; a second signal ends it at once\n");
        await echo.until(() => echo.open === 0);
      }
    })));

test("what cannot be connected is told, what is connected only with --verbose", () =>
  withTarget(startEcho(), (echo) =>
    withProxy({ credentials: ALICE }, async (proxy) => {
      for (const flags of [[], ["--verbose"]]) {
        const io = fakeIo({ env: { SOCKS5_PROXY: proxy.url } });
        const running = main(["serve", "--port", "0", ...flags], io);
        await io.until(() => io.out !== "");
        const port = Number(LINE.exec(io.out)![2]);
        for (const [target, status] of [[echo.address, "200"], ["127.0.0.1:1", "502"]]) {
          const head = `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`;
          assertMatch(await ask(port, head, 12), new RegExp(`^HTTP/1\\.1 ${status}`));
        }
        await io.until(() => io.err.includes("REP 05"));
        io.signal("SIGTERM");
        assertEquals(await running, 0);
        const lines = io.err.split("\n").slice(0, -2);
        const failed = lines.pop()!;
        assert(failed.startsWith(`socks5: Cannot connect to 127.0.0.1:1 through 127.0.0.1:${proxy.port}: `), failed);
        assertEquals(
          lines.map((line) => line.replace(/[\d.]+ ms$/, "T")),
          flags.length === 0 ? [] : [
            `socks5: ${echo.address} through 127.0.0.1:${proxy.port}, T`,
          ],
        );
        assert(!/alice|sesame/.test(io.err + io.out));
      }
    })));

test("--verbose tells which proxies were passed over and why, when they fail and while they rest", () =>
  withTarget(startEcho(), (echo) =>
    withProxy({ credentials: ALICE }, async (proxy) => {
      for (const flags of [[], ["--verbose"]]) {
        const io = fakeIo();
        const running = main(["serve", "socks5h://alice:sesame@127.0.0.1:1", proxy.url, ...flags], io);
        await io.until(() => io.out !== "");
        const head = `CONNECT ${echo.address} HTTP/1.1\r\nHost: ${echo.address}\r\n\r\n`;
        for (const _ of [1, 2]) assertMatch(await ask(Number(LINE.exec(io.out)![2]), head, 12), /^HTTP\/1\.1 200/);
        io.signal("SIGTERM");
        assertEquals(await running, 0);
        const lines = io.err.split("\n").slice(0, -2).map((line) => line.replace(/\d[\d.]* m?s\b/g, "T"));
        const through = `socks5: ${echo.address} through 127.0.0.1:${proxy.port}, T`;
        const past = "; passed over: 127.0.0.1:1 (SOCKS5_PROXY_UNREACHABLE, for another T)";
        assertEquals(lines.slice(1), flags.length === 0 ? [] : [through + past, through + past]);
        const failed = /^socks5: Cannot connect to .* through 127\.0\.0\.1:1: .*; trying another proxy$/;
        if (flags.length > 0) assertMatch(lines[0]!, failed);
        assert(!/alice|sesame/.test(io.err + io.out));
      }
    })));

test("--verbose calls a proxy that was overtaken silent, not failed", () =>
  withTarget(
    startEcho(),
    (echo) =>
      withProxy({ faults: { fault: "silence", at: "negotiate" } }, (silent) =>
        withProxy({ credentials: ALICE }, async (proxy) => {
          const io = fakeIo();
          const running = main(["serve", `socks5h://127.0.0.1:${silent.port}`, proxy.url, "--verbose"], io);
          await io.until(() =>
            io.out !== ""
          );
          const head = `CONNECT ${echo.address} HTTP/1.1\r\nHost: ${echo.address}\r\n\r\n`;
          for (const _ of [1, 2]) assertMatch(await ask(Number(LINE.exec(io.out)![2]), head, 12), /^HTTP\/1\.1 200/);
          io.signal("SIGTERM");
          assertEquals(await running, 0);
          const lines = io.err.split("\n").slice(0, -2).map((line) => line.replace(/\d[\d.]* m?s\b/g, "T"));
          const past = `passed over: 127.0.0.1:${silent.port} (silent, for another T)`;
          const line = `socks5: ${echo.address} through 127.0.0.1:${proxy.port}, T; ${past}`;
          assertEquals([lines, silent.connections.length], [[line, line], 1]);
        })),
  ));

test("--max-clients limits how many are connected, and what no client can be told is a line on standard error", () =>
  withTarget(startBanner("hello"), (banner) =>
    withProxy({ credentials: ALICE }, async (proxy) => {
      const io = fakeIo();
      const running = main(["forward", proxy.url, `0:${banner.address}`, `0:${banner.address}`, "--max-clients=2"], io);
      await io.until(() => io.out !== "");
      const [first, second] = io.out.split("\n").map((line) => Number(/:(\d+) leads/.exec(line)?.[1]));
      const open = [0, 1].map(() => connect(first!, "127.0.0.1"));
      for (const socket of open) assertEquals(await read(socket, 5), "hello");
      for (const _ of [1, 2]) { // it is told once
        const refused = connect(first!, "127.0.0.1");
        refused.on("error", () => {}); // it is reset
        await new Promise((resolve) => refused.once("close", resolve));
      }
      assertEquals(await ask(second!, "", 5), "hello");
      const why = "There are 2 clients, which is --max-clients: further ones are refused";
      assertEquals(io.err, `socks5: 127.0.0.1:${first}: ${why}\n`);
      for (const socket of open) socket.destroy();
      io.signal("SIGTERM");
      assertEquals(await running, 0);
    })));

test("a target that leads back to its own port is told on standard error", async () => {
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
  const { port } = free.address() as AddressInfo;
  await new Promise((resolve) => free.close(resolve));
  await withProxy({ credentials: ALICE, rules: () => ({ port }) }, async (back) => {
    const io = fakeIo();
    const running = main(["forward", back.url, `${port}:back.test:${port}`], io);
    await io.until(() => io.out !== "");
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {}); // it is reset
    await new Promise((resolve) => socket.once("close", resolve));
    const lines = new Set(io.err.trimEnd().split("\n")); // both ends of the loop may find it out
    assertEquals(lines, new Set([`socks5: 127.0.0.1:${port}: The target leads back to this port`]));
    io.signal("SIGTERM");
    assertEquals(await running, 0);
  });
});

test("what goes on may end in its time after a signal, and a second one ends it at once", () =>
  withTarget(startBanner("hello"), (banner) =>
    withProxy({ credentials: ALICE }, async (proxy) => {
      for (const [first, second, code] of [["SIGTERM", null, 0], ["SIGINT", "SIGINT", 130]] as const) {
        const io = fakeIo();
        const running = main(["forward", proxy.url, `0:${banner.address}`], io);
        await io.until(() => io.out !== "");
        const socket = connect(Number(/:(\d+) leads/.exec(io.out)![1]), "127.0.0.1");
        socket.on("error", () => {}); // it may be reset
        assertEquals(await read(socket, 5), "hello");
        io.signal(first);
        await io.until(() => io.err !== "");
        socket.write("still there?");
        if (second === null) assertEquals(await read(socket, 12), "still there?");
        const closed = new Promise((resolve) => socket.once("close", resolve));
        if (second === null) socket.end();
        else io.signal(second);
        assertEquals([await running, io.listeners], [code, 0]);
        await closed;
      }
    })));

test("a second signal ends at once even those who have not said yet what they want", () =>
  withProxy({ credentials: ALICE }, async (proxy) => {
    const io = fakeIo({ env: { SOCKS5_PROXY: proxy.url } });
    const running = main(["serve"], io);
    await io.until(() => io.out !== "");
    const port = Number(LINE.exec(io.out)![2]);
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {}); // it may be reset
    const closed = new Promise((resolve) => socket.once("close", resolve));
    await new Promise((resolve) => socket.write("CONNECT example.test:1 HT", resolve));
    // once a later one is answered, it has arrived
    assertMatch(await ask(port, "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 12), /^HTTP\/1\.1 502/);
    io.signal("SIGTERM");
    await io.until(() => io.err.includes("ending"));
    io.signal("SIGTERM");
    let late: ReturnType<typeof setTimeout>;
    const tooLate = new Promise((resolve) => late = setTimeout(resolve, 3_000, "too late"));
    assertEquals(await Promise.race([running.finally(() => clearTimeout(late)), tooLate]), 143);
    await closed;
  }));

test("socks5 forward brings ports to targets, as many as there are", () =>
  withTarget(
    startBanner("one"),
    (one) =>
      withTarget(startBanner("two"), (two) =>
        withProxy({ credentials: ALICE, rules: { "one.test:1": one, "two.test:2": two } }, async (proxy) => {
          const io = fakeIo();
          const running = main(["forward", proxy.url, "0:one.test:1", "localhost:0:two.test:2"], io);
          await io.until(() =>
            io.out !== ""
          );
          const lines = io.out.trimEnd().split("\n").map((line) => /^(.*):(\d+) leads to (.*)$/.exec(line)!.slice(1));
          assertEquals(lines.map(([host, , target]) => [host, target]), [
            ["127.0.0.1", "one.test:1"],
            ["localhost", "two.test:2"],
          ]);
          const said = lines.map(([host, port]) => ask(Number(port), "", 3, host));
          assertEquals(await Promise.all(said), ["one", "two"]);
          io.signal("SIGTERM");
          assertEquals(await running, 0);
        })),
  ));

test(
  "socks5 forward listens on IPv6, and leads to it",
  () =>
    withTarget(startBanner("six", { hostname: "::1" }), (banner) =>
      withProxy({}, async (proxy) => {
        const io = fakeIo();
        const args = ["forward", `socks5h://127.0.0.1:${proxy.port}`, `[::1]:0:${banner.address}`];
        const running = main(args, io);
        await io.until(() => io.out !== "");
        const [, port, target] = /^\[::1\]:(\d+) leads to (.*)\n$/.exec(io.out)!;
        assertEquals([await ask(Number(port), "", 3, "::1"), target], ["six", banner.address]);
        io.signal("SIGTERM");
        assertEquals(await running, 0);
      })),
  { skip: noIpv6 },
);

test("a port that is taken is 1, and what was opened before it is closed", () =>
  withTarget(startSilent(), async (taken) => {
    const io = fakeIo();
    const code = await main(["forward", "socks5h://127.0.0.1:1", "0:a.test:1", `${taken.port}:a.test:1`], io);
    assertEquals([code, io.out, io.listeners], [1, "", 0]);
    assertMatch(io.err, /^socks5: .*(in use|EADDRINUSE).*\n$/);
  }));

test(
  "in a process of its own: it leads through the proxy, and a signal ends it with 0",
  () =>
    withTarget(startEcho(), (echo) =>
      withProxy({ credentials: ALICE }, async (proxy) => {
        const started = startCli(["serve"], { SOCKS5_PROXY: proxy.url });
        await started.until(() => LINE.test(started.out()));
        const port = Number(LINE.exec(started.out())![2]);
        const head = `CONNECT ${echo.address} HTTP/1.1\r\nHost: ${echo.address}\r\n\r\n`;
        assertMatch(await ask(port, head, 12), /^HTTP\/1\.1 200/);
        started.kill("SIGTERM");
        const { code, err } = await started.ended;
        assertEquals([code, err], [0, "socks5: ending: connections have 5 seconds; a second signal ends it at once\n"]);
      })),
  { skip: quick },
);
