import { assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { request } from "node:http";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AdminStatus } from "../../admin/mod.ts";
import { main } from "../../cli/mod.ts";
import { cli, fakeIo, startCli } from "../support/cli.ts";
import { withDirectory } from "../support/client_program.ts";
import { withEcho } from "../support/stage.ts";
import { quick, test } from "../support/test.ts";

const ALICE = { username: "alice", password: "sesame" };
const PAGE = /^socks5: the admin page is at (http:\/\/127\.0\.0\.1:\d+)\/\n/;
const PORT = /export http_proxy=(http:\/\/127\.0\.0\.1:\d+)/;

test("socks5 serve --admin has a page that knows the proxies, their failures and the port", () =>
  withEcho({ credentials: ALICE }, async (proxy, echo) => {
    const io = fakeIo();
    const running = main(["serve", "socks5h://127.0.0.1:1", proxy.url, "--admin", "0"], io);
    await io.until(() => io.out !== "");
    const [, url] = PAGE.exec(io.err)!;
    const [, local] = PORT.exec(io.out)!;
    const asking = request(local!, { method: "CONNECT", path: echo.address }).end();
    const [, socket] = await once(asking, "connect");
    const status: AdminStatus = await (await fetch(`${url}/status.json`)).json();
    assertEquals(status.listeners, [{ url: local! }]);
    assertEquals(status.proxies.map(({ proxy }) => proxy), ["127.0.0.1:1", `127.0.0.1:${proxy.port}`]);
    assertEquals(status.proxies.map(({ inUse, lastFailure }) => [inUse, lastFailure]), [
      [0, "SOCKS5_PROXY_UNREACHABLE"],
      [1, null],
    ]);
    assertEquals(status.failures.map(({ target, next }) => [target, next]), [[echo.address, "failover"]]);
    socket.destroy();
    assertEquals(await (await fetch(`${url}/readyz`)).text(), "ok\n");
    io.signal("SIGTERM");
    assertEquals(await running, 0);
    assertEquals(await fetch(`${url}/healthz`).then(() => "open", () => "closed"), "closed");
  }));

test("--admin-readonly takes the buttons away, and credentials may come from the environment", async () => {
  const env = { SOCKS5_ADMIN_CREDENTIALS: "ann:sesame:with a colon" };
  const io = fakeIo({ env });
  const running = main(["serve", "socks5h://127.0.0.1:1", "--admin=0.0.0.0:0", "--admin-readonly"], io);
  await io.until(() => io.out !== "");
  const [, port] = /^socks5: the admin page is at http:\/\/0\.0\.0\.0:(\d+)\/\n/.exec(io.err)!;
  const url = `http://127.0.0.1:${port}/status.json`;
  const refused = await fetch(url);
  await refused.body?.cancel();
  const authorization = `Basic ${btoa(env.SOCKS5_ADMIN_CREDENTIALS)}`;
  const { readonly } = await (await fetch(url, { headers: { authorization } })).json();
  assertEquals([refused.status, readonly, /sesame/.test(io.err + io.out)], [401, true, false]);
  io.signal("SIGTERM");
  assertEquals(await running, 0);
});

test("the page knows the clients of all listeners of a file, also after it was read again", () =>
  withDirectory(async (directory) => {
    const file = join(directory, "socks5.json");
    const write = (...proxies: string[]) => {
      const listeners = proxies.map((it) => ({ proxies: [`socks5h://${it}`] }));
      writeFileSync(file, JSON.stringify({ listeners, admin: { port: 0 } }));
    };
    write("127.0.0.1:1", "127.0.0.1:2");
    const io = fakeIo();
    const running = main(["serve", "--config", file], io);
    await io.until(() => io.out !== "");
    const [, url] = PAGE.exec(io.err)!;
    const status = async (): Promise<AdminStatus> => await (await fetch(`${url}/status.json`)).json();
    const { clients, proxies, listeners } = await status();
    assertEquals(clients.map(({ name }) => name), listeners.map(({ url }) => url.replace("http://", "")));
    assertEquals(proxies.map(({ proxy }) => proxy), ["127.0.0.1:1", "127.0.0.1:2"]);
    write("127.0.0.1:3");
    io.hangup();
    await io.until(() => io.err.includes("read again"));
    const after = await status();
    assertEquals([after.clients.map(({ name }) => name), after.proxies.map(({ proxy }) => proxy)], [
      [null],
      ["127.0.0.1:3"],
    ]);
    io.signal("SIGTERM");
    assertEquals(await running, 0);
  }));

test("--admin-credentials may be a file", () =>
  withDirectory(async (directory) => {
    const file = join(directory, "admin.txt");
    writeFileSync(file, "ann:sesame\n# of the page\n");
    const io = fakeIo();
    const running = main(["serve", "socks5h://127.0.0.1:1", "--admin", "0", "--admin-credentials", file], io);
    await io.until(() => io.out !== "");
    const [, url] = PAGE.exec(io.err)!;
    const headers = { authorization: `Basic ${btoa("ann:sesame")}` };
    assertEquals((await (await fetch(`${url}/status.json`, { headers })).json()).count.all, 1);
    io.signal("SIGTERM");
    assertEquals(await running, 0);
  }));

const wrong: [args: string[], line: RegExp][] = [
  [["--admin", "x"], /--admin takes \[HOST:\]PORT, such as 8900/],
  [["--admin", "65536"], /--admin takes \[HOST:\]PORT/],
  [
    ["--admin", "0.0.0.0:0"],
    /--admin listens on 127\.0\.0\.1, \[::1\] or localhost; elsewhere only with --admin-credentials/,
  ],
  [["--admin", "0", "--admin-credentials", "sesame"], /cannot read .*: there is no such file/],
  [["--admin-readonly"], /--admin-readonly is for --admin/],
  [["--admin-credentials", "ann:sesame"], /--admin-credentials is for --admin/],
];

for (const [args, line] of wrong) {
  test(`socks5 serve refuses ${args.join(" ").replace("sesame", "…")}`, async () => {
    const { code, out, err } = await cli(["serve", "socks5h://127.0.0.1:1", ...args]);
    assertEquals([code, out, /sesame/.test(err)], [2, "", false]);
    assertMatch(err, line);
    assertMatch(err, /\(try: socks5 serve --help\)\n$/);
  });
}

test("an admin port that is taken is 1, and nothing is left open", () =>
  withEcho({}, async (_proxy, echo) => {
    const { code, out, err } = await cli(["serve", "socks5h://127.0.0.1:1", "--admin", `${echo.port}`]);
    assertEquals([code, out], [1, ""]);
    assertMatch(err, /in use|EADDRINUSE/);
  }));

test("in a process of its own the admin port closes with it", async () => {
  const started = startCli(["serve", "socks5h://127.0.0.1:1", "--admin", "0"]);
  await started.until(() => PORT.test(started.out()) && PAGE.test(started.err()));
  const [, url] = PAGE.exec(started.err())!;
  assertEquals(await (await fetch(`${url}/healthz`)).text(), "ok\n");
  started.kill("SIGTERM");
  assertEquals((await started.ended).code, 0);
}, { skip: quick });
