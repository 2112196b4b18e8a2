import { assert, assertEquals, assertMatch } from "@std/assert";
import process from "node:process";
import { createTestProxy, type TestProxy } from "../../testing/mod.ts";
import { cli, startCli } from "../support/cli.ts";
import { findProgram } from "../support/real_process.ts";
import { missing, withDirectory } from "../support/client_program.ts";
import { startTarget, type Target } from "../support/targets.ts";
import { quick, test } from "../support/test.ts";

const BODY = '{"ok":true}';
const skip = quick || process.platform === "win32" && "signals are others there";

/** A proxy that leads every name to a web server, which answers all with `BODY`. */
async function withWeb(use: (proxy: TestProxy, paths: string[], web: Target) => Promise<void>): Promise<void> {
  const paths: string[] = [];
  const answer =
    `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\nConnection: close\r\n\r\n${BODY}`;
  await using web = await startTarget((socket) => {
    socket.once("data", (chunk) => {
      paths.push(String(chunk).split(" ")[1]!);
      socket.end(answer);
    });
  });
  await using proxy = await createTestProxy({
    credentials: { username: "alice", password: "sesame" },
    rules: () => web,
  });
  await use(proxy, paths, web);
}

const fetches = `fetch("http://web.test/x").then((it) => it.text()).then((it) => console.log(it))`;
const python = `import urllib.request; print(urllib.request.urlopen("http://web.test/x").read().decode())`;
const modules = (name: string) => `node_modules/.bin/${name}`;

/** What a program is given to get a page, and what it prints of it. */
const programs: Record<string, [program: string, args: string[], prints: RegExp | null]> = {
  curl: ["curl", ["-q", "-sS", "http://web.test/x"], /^\{"ok":true\}$/],
  wget: ["wget", ["-qO-", "http://web.test/x"], /^\{"ok":true\}$/],
  git: ["git", ["ls-remote", "http://web.test/x"], null], // which is no repository
  npm: ["npm", ["ping", "--registry=http://web.test/", "--fetch-retries=0", "--loglevel=notice"], null],
  Node: [modules("node"), ["-e", fetches], /^\{"ok":true\}\n$/],
  Bun: [modules("bun"), ["-e", fetches], /^\{"ok":true\}\n$/],
  Deno: [modules("deno"), ["eval", "--quiet", fetches], /^\{"ok":true\}\n$/],
  Python: ["python3", ["-c", python], /^\{"ok":true\}\n$/],
};

for (const [name, [program, args, prints]] of Object.entries(programs)) {
  test(
    `socks5 run: ${name} goes through the proxy`,
    () =>
      withWeb((proxy, paths) =>
        withDirectory(async (directory) => {
          const env = { SOCKS5_PROXY: proxy.url, HOME: directory, NO_PROXY: "web.test", no_proxy: "web.test" };
          const { code, out, err } = await startCli(["run", "--", program, ...args], env).ended;
          if (prints !== null) {
            assertEquals([code, err], [0, ""]);
            assertMatch(out, prints);
          }
          assert(paths.some((path) => path.startsWith(name === "npm" ? "/-/ping" : "/x")), `${paths} ${out} ${err}`);
          assertEquals(proxy.connections[0]!.request?.hostname, "web.test");
        })
      ),
    { skip: program.includes("/") ? skip : missing(program) || skip },
  );
}

const PRINTS =
  `console.log(JSON.stringify(Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(http|https|all|no|socks5|node_use_env)_proxy$/i.test(name)))))`;

test("socks5 run: the program gets the variables in both cases, and no password", () =>
  withWeb(async (proxy) => {
    const env = { SOCKS5_PROXY: proxy.url };
    const args = ["run", "--no-proxy", "a.test,b.test", "--", modules("node"), "-e", PRINTS];
    const { code, out } = await startCli(args, env).ended;
    const { http_proxy: url, ...others } = JSON.parse(out);
    assertEquals(code, 0);
    assertMatch(url, /^http:\/\/127\.0\.0\.1:\d+$/);
    const names = ["HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    const none = { no_proxy: "a.test,b.test", NO_PROXY: "a.test,b.test", NODE_USE_ENV_PROXY: "1" };
    assertEquals(others, { ...Object.fromEntries(names.map((name) => [name, url])), ...none });
    assert(!out.includes("sesame"));
  }), { skip });

test(
  "socks5 run: the program has standard input, output and error, and its options are its own",
  () =>
    withWeb(async (proxy) => {
      const code =
        "process.stdin.on('data', (it) => process.stdout.write(it)).on('end', () => { console.error('--help' + process.argv.slice(1)); process.exit(7); })";
      const started = startCli(["run", proxy.url, "--", modules("node"), "-e", code, "--", "-h", "--help", "--"]);
      started.child.stdin.end("given");
      const { code: ended, out, err } = await started.ended;
      assertEquals([ended, out, err.replace(/^socks5: on Bun .*\n/, "")], [7, "given", "--help-h,--help,--\n"]);
    }),
  { skip },
);

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  test(`socks5 run passes ${signal} on, and ends as the program ends`, () =>
    withWeb(async (proxy) => {
      const env = { SOCKS5_PROXY: proxy.url };
      const handles =
        `process.on("${signal}", () => { console.log("got it"); process.exit(9); }); setInterval(() => {}, 1e6); console.log("ready");`;
      const handling = startCli(["run", "--", modules("node"), "-e", handles], env);
      await handling.until(() => handling.out() === "ready\n");
      handling.kill(signal);
      const { code: handled, out } = await handling.ended;
      assertEquals([handled, out], [9, "ready\ngot it\n"]);
      const killed = startCli(
        ["run", "--", modules("node"), "-e", `setInterval(() => {}, 1e6); console.log("ready");`],
        env,
      );
      await killed.until(() => killed.out() === "ready\n");
      killed.kill(signal);
      assertEquals((await killed.ended).code, code);
    }), { skip });
}

const wrong: [args: string[], code: number, why: RegExp][] = [
  [["socks5h://127.0.0.1:1"], 2, /^socks5: give the program behind --, as in: /],
  [["socks5h://127.0.0.1:1", "--"], 2, /^socks5: give the program behind --/],
  [["socks5h://127.0.0.1:1", "curl", "--", "x"], 2, /^socks5: give the program behind --/],
  [["--", "curl"], 2, /^socks5: no proxy is given/],
  [["socks5h://127.0.0.1:1", "--session", "", "--", "x"], 2, /^socks5: --session takes a text of 1 to 255 bytes/],
  [["socks5h://127.0.0.1:1", "--balance", "best", "--", "x"], 2, /^socks5: Cannot use --balance as "first"/],
  [
    ["socks5h://127.0.0.1:1", "--", "no-such-program"],
    127,
    /^socks5: cannot start no-such-program: there is no such program\n$/,
  ],
  [
    ["socks5h://127.0.0.1:1", "--", "/etc"],
    126,
    /^socks5: cannot start \/etc: permission denied\n$/,
  ],
];

for (const [args, code, why] of wrong) {
  test(`socks5 run ${args.join(" ")} is ${code}`, async () => {
    const ended = await cli(["run", ...args]);
    assertEquals([ended.code, ended.out], [code, ""], ended.err);
    assertMatch(ended.err, why);
  }, { skip: code > 2 && (!findProgram("sh") || process.platform === "win32") && "other codes there" });
}

test("socks5 run --session keeps a proxy of the list", () =>
  withWeb(async (proxy, _, web) => {
    await using other = await createTestProxy({ rules: () => web });
    const get = `for (let i = 0; i < 4; i++) await (await fetch("http://web.test/" + i)).text()`;
    const proxies = [proxy.url, `socks5h://127.0.0.1:${other.port}`, "--balance", "round-robin"];
    const node = ["--", modules("node"), "--input-type=module", "-e", get];
    const counts = () => [proxy.connections.length, other.connections.length].sort();
    assertEquals((await startCli(["run", ...proxies, "--session", "s", ...node]).ended).code, 0);
    assertEquals(counts(), [0, 4]);
    assertEquals((await startCli(["run", ...proxies, ...node]).ended).code, 0);
    assertEquals(counts(), [2, 6]);
  }), { skip });
