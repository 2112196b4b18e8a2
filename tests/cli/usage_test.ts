import { assert, assertEquals, assertMatch } from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HELP, VERSION } from "../../cli/help.ts";
import { EXIT } from "../../cli/outcome.ts";
import { redactArgs } from "../../cli/proxies.ts";
import { main } from "../../cli/mod.ts";
import { cli, fakeIo, type FakeOptions, PROGRAM } from "../support/cli.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import { startEcho } from "../support/targets.ts";
import { quick, test } from "../support/test.ts";

const ALICE = { username: "alice", password: "sesame" };
const DOWN = "socks5h://alice:sesame@127.0.0.1:1";

const wrong: [args: string[], message: string, env?: Record<string, string>][] = [
  [[], "give a command: check, serve, run, forward or connect (try: socks5 --help)"],
  [["chekc"], "unknown command chekc; did you mean check? (try: socks5 --help)"],
  [["forwrad"], "unknown command forwrad; did you mean forward? (try: socks5 --help)"],
  [["--jsno"], "unknown option --jsno (try: socks5 --help)"],
  [["toString"], "unknown command toString (try: socks5 --help)"],
  [[DOWN], "unknown command (try: socks5 --help)"],
  [["check", "--jsno", DOWN], "unknown option --jsno; did you mean --json? (try: socks5 check --help)"],
  [["check", "--timout=1", DOWN], "unknown option --timout; did you mean --timeout? (try: socks5 check --help)"],
  [["check", "-x", DOWN], "unknown option -x (try: socks5 check --help)"],
  [["check", `--${DOWN}`], "unknown option (try: socks5 check --help)"],
  [["check", "--password=sesame", DOWN], "unknown option --password (try: socks5 check --help)"],
  [["check", "--constructor", DOWN], "unknown option --constructor (try: socks5 check --help)"],
  [["check", "--json=sesame", DOWN], "--json takes no value (try: socks5 check --help)"],
  [["check", DOWN, "--repeat"], "--repeat needs a value (try: socks5 check --help)"],
  [["check", "--repeat", DOWN], "--repeat takes a whole number from 1 (try: socks5 check --help)"],
  [["check", "--repeat", "0", DOWN], "--repeat takes a whole number from 1 (try: socks5 check --help)"],
  [["serve", "--max-clients", "0", DOWN], "--max-clients takes a whole number from 1 (try: socks5 serve --help)"],
  [["check", "--timeout", "1s", DOWN], "--timeout takes a whole number from 1 (try: socks5 check --help)"],
  [["check", DOWN, "a:1", "b:2"], "give at most one target, as HOST:PORT (try: socks5 check --help)"],
  [["check", DOWN, "--probe", "x"], "--probe and --tls are for a target, as HOST:PORT (try: socks5 check --help)"],
  [["check", DOWN, "--tls"], "--probe and --tls are for a target, as HOST:PORT (try: socks5 check --help)"],
  [["connect", DOWN], "give one target, as HOST:PORT or HOST PORT (try: socks5 connect --help)"],
  [["connect", DOWN, "a", "1", "b"], "give one target, as HOST:PORT or HOST PORT (try: socks5 connect --help)"],
  [
    ["serve", DOWN, "a:1"],
    "serve takes proxies only, as socks5h://host:port; the port is --port PORT (try: socks5 serve --help)",
  ],
  ...["0.0.0.0", "*", "a.test", "[::]"].map((bind): [string[], string] => [
    ["forward", DOWN, `${bind}:0:a.test:1`],
    "BIND is an address of loopback: 127.0.0.1, [::1] or localhost (try: socks5 forward --help)",
  ]),
  [
    ["connect", DOWN, "a.test", "http"],
    "PORT is a number: give one target, as HOST:PORT or HOST PORT (try: socks5 connect --help)",
  ],
  [["forward", DOWN], "give what goes where, as [BIND:]PORT:HOST:PORT (try: socks5 forward --help)"],
  [
    ["forward", DOWN, "80"],
    "cannot read 80 as [BIND:]PORT:HOST:PORT, such as 8080:db.internal:80 (try: socks5 forward --help)",
  ],
  [
    ["forward", DOWN, "alice:sesame@x"],
    "cannot read as [BIND:]PORT:HOST:PORT, such as 8080:db.internal:80 (try: socks5 forward --help)",
  ],
  [
    ["check"],
    "no proxy is given: add socks5h://host:port or --proxies FILE, or set SOCKS5_PROXY or ALL_PROXY (try: socks5 check --help)",
  ],
  [
    ["check", "127.0.0.1:1080"],
    "no proxy is given: add socks5h://host:port or --proxies FILE, or set SOCKS5_PROXY or ALL_PROXY (try: socks5 check --help)",
    { HTTPS_PROXY: "http://alice:sesame@proxy.test:1", SOCKS5_PROXY: "" },
  ],
];

test("what is wrong with the arguments is one line that names it, and 2", async () => {
  for (const [args, message, env = {}] of wrong) {
    assertEquals(await cli(args, { env }), { code: 2, out: "", err: `socks5: ${message}\n` });
  }
});

const FORM = "socks5h://user:password@host:1080";

const refused: [args: string[], message: string, env?: Record<string, string>][] = [
  [["check", "http://alice:sesame@a.test:1"], "Cannot use proxy as SOCKS5 proxy, the scheme must be"],
  [["connect", "socks5h://alice:sesame@a.test:99999", "b.test:1"], "Cannot use proxy as SOCKS5 proxy, the port must"],
  [["check", DOWN, "socks5h://alice:sesame@"], "Cannot use proxy as SOCKS5 proxy, the host name is missing"],
  [["check"], "Cannot use SOCKS5_PROXY as SOCKS5 proxy, the scheme is missing", { SOCKS5_PROXY: "sesame" }],
  [["serve"], "Cannot use all_proxy as SOCKS5 proxy, the port is malformed", { all_proxy: "socks5://a:sesame" }],
  [["check", DOWN, "a.test"], 'Cannot parse target as "host:port", the port is missing'],
  [["check", DOWN, "alice:sesame@a.test:0"], 'Cannot parse target as "host:port"'],
  [
    ["check", DOWN, "a.test:1080:alice:sesame"],
    `Cannot parse target as "host:port", a proxy is written ${FORM}; --proxies FILE reads host:port:user:password\n`,
  ],
  [
    ["check"],
    `Cannot use SOCKS5_PROXY as SOCKS5 proxy, the scheme is missing (${FORM}; --proxies FILE reads host:port:user:`,
    { SOCKS5_PROXY: "a.test:1080:alice:sesame" },
  ],
  [["connect", DOWN, "a.test:1080:alice:sesame"], 'Cannot parse target as "host:port", a proxy is written socks5h://'],
  [["forward", DOWN, "a.test:1080:alice:sesame"], "cannot read as [BIND:]PORT:HOST:PORT"],
  [["connect", DOWN, "a.test", "0"], 'Cannot parse target as "host:port"'],
  [["serve", DOWN, "--port", "65536"], "Cannot use --port as 0 to 65535: current value is 65536"],
  [["forward", DOWN, "0:a.test:0"], 'Cannot parse target as "host:port"'],
];

test("what the library says of an argument is shown on one line, and 2", async () => {
  for (const [args, message, env = {}] of refused) {
    const { code, out, err } = await cli(args, { env });
    assertEquals([code, out], [2, ""], err);
    assert(err.startsWith(`socks5: ${message}`) && err.indexOf("\n") === err.length - 1, err);
    assert(!/sesame|is a string|an object|redacted|NaN/.test(err), err); // whatever is given here is a string
  }
});

const found: [what: string, options: FakeOptions & { args?: string[] }, from: string][] = [
  ["an argument", { args: ["URL"], env: { SOCKS5_PROXY: DOWN } }, ""],
  ["SOCKS5_PROXY", { env: { SOCKS5_PROXY: "URL", ALL_PROXY: DOWN } }, " (SOCKS5_PROXY)"],
  ["ALL_PROXY", { env: { ALL_PROXY: "URL", HTTPS_PROXY: "http://a.test" } }, " (ALL_PROXY)"],
  ["https_proxy, although NO_PROXY has all", { env: { https_proxy: "URL", NO_PROXY: "*" } }, " (https_proxy)"],
];

test("the proxy is an argument, or that of the environment", () =>
  withProxy({ credentials: ALICE }, async (proxy) => {
    for (const [what, { args = [], env = {} }, from] of found) {
      const here = (text: string) => text === "URL" ? proxy.url : text;
      const own = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, here(value)]));
      const { code, out, err } = await cli(["check", ...args.map(here)], { env: own });
      assertEquals([code, out.split("\n")[1], err], [0, `127.0.0.1:${proxy.port}${from}`, ""], what);
    }
  }));

const lists: [what: string, text: string, lines: number[]][] = [
  ["one a line", "URL\nURL\n", [1, 2]],
  ["no end of the last line", "URL", [1]],
  ["comments and blank lines", "# mine\n\n  URL  # the first\n\t# URL\n   \nURL\t#\n", [3, 6]],
  ["CRLF", "URL\r\n# URL\r\nURL\r\n", [1, 3]],
  ["a byte order mark", "\uFEFFURL\n", [1]],
  ["a byte order mark before a comment", "\uFEFF# URL\r\nURL", [2]],
  ["as they are sold", "HOST:alice:sesame\nalice:sesame@HOST # mine", [1, 2]],
];

test("--proxies reads proxies from a file and from standard input, and tells which line each is", () =>
  withFile((file) =>
    withProxy({ credentials: ALICE }, async (proxy) => {
      for (const [what, text, lines] of lists) {
        const list = text.replaceAll("URL", proxy.url).replaceAll("HOST", `127.0.0.1:${proxy.port}`);
        writeFileSync(file, list);
        const of = async (source: string, name: string) => {
          const args = ["check", "--proxies", source];
          const { code, out, err } = await cli(args, { env: { SOCKS5_PROXY: DOWN }, stdin: input(list) });
          const titles = out.match(/127\.0\.0\.1:\d+.*line \d+\)/g);
          const found = lines.length === 1 ? `${name}, ` : "";
          const all = lines.map((line) => `127.0.0.1:${proxy.port} (${found}line ${line})`);
          assertEquals([code, titles, err], [0, all, ""], what);
        };
        await of(file, file);
        await of("-", "standard input");
      }
    })
  ));

test("--proxies is for every command, and stands beside arguments", () =>
  withFile((file) =>
    withTarget(startEcho(), (echo) =>
      withProxy({ credentials: ALICE }, async (proxy) => {
        writeFileSync(file, proxy.url);
        const both = await cli(["check", "--json", proxy.url, `--proxies=${file}`]);
        assertEquals([both.code, both.out.trimEnd().split("\n").length], [0, 2]);
        const tunnel = await cli(["connect", "--proxies", file, echo.address], { stdin: input("ping") });
        assertEquals(tunnel, { code: 0, out: "ping", err: "" });
        for (const args of [["serve"], ["forward", `0:${echo.address}`]]) {
          const io = fakeIo();
          const running = main([...args, "--proxies", file], io);
          await io.until(() => io.out !== "");
          io.signal("SIGTERM");
          assertEquals(await running, 0);
        }
      }))
  ));

const badLists: [what: string, text: string | Uint8Array, message: string][] = [
  [
    "no port",
    "# mine\r\n\r\nalice:sesame@a.test\r\n",
    "Cannot use line 3 of FILE as SOCKS5 proxy, a line is host:port,",
  ],
  ["two ways", `${DOWN}\nalice:1:a.test:1080`, "Cannot use line 2 of FILE as SOCKS5 proxy, it can be read in two"],
  ["another scheme", "http://alice:sesame@a.test", "Cannot use line 1 of FILE as SOCKS5 proxy, the scheme must be"],
  ["two on a line", `${DOWN} ${DOWN}`, "Cannot use line 1 of FILE as SOCKS5 proxy, "],
  ["nothing but comments", `# ${DOWN}\n\n`, "no proxy is in FILE: give one a line, as socks5h://host:port (try"],
  ["nothing", "", "no proxy is in FILE: give one a line, as socks5h://host:port (try: socks5 check --help)"],
  ["UTF-16", new Uint8Array([0xff, 0xfe, 0x73, 0]), "cannot read FILE: it is not text in UTF-8 (try"],
];

test("what is wrong in a list of proxies is told by file and line, without a word of it", () =>
  withFile(async (file) => {
    for (const [what, text, message] of badLists) {
      writeFileSync(file, text);
      for (const [source, name] of [[file, file], ["-", "standard input"]] as const) {
        const { code, out, err } = await cli(["check", "--proxies", source], { stdin: input(text) });
        assertEquals([code, out], [2, ""], what);
        assert(err.startsWith(`socks5: ${message.replace("FILE", name)}`) && err.endsWith("\n"), err);
        assert(!/alice|sesame|a\.test/.test(err), err);
      }
    }
  }));

test("a list that cannot be read, or is none, is one line and 2", async () => {
  const endless = async function* (): AsyncIterable<Uint8Array> {
    for (const chunk = new Uint8Array(1 << 20);;) yield chunk;
  }();
  const sources: [file: string, message: string, command?: string][] = [
    ["/nowhere/list.txt", "cannot read /nowhere/list.txt: there is no such file"],
    ["/", "cannot read /: it is a directory"],
    ["a.test:1080:alice:sesame", "cannot read the file of --proxies: there is no such file"],
    [DOWN, "--proxies takes a file, or - for standard input"],
    ["", "--proxies takes a file, or - for standard input"],
    ["-", "cannot read standard input: it has more than 16 MiB"],
    ["-", "--proxies takes a file: standard input is for the target", "connect"],
  ];
  for (const [file, message, command = "check"] of sources) {
    const ended = await cli([command, `--proxies=${file}`, "b.test:1"], { stdin: endless });
    assertEquals(ended, { code: 2, out: "", err: `socks5: ${message} (try: socks5 ${command} --help)\n` });
  }
});

async function withFile(use: (file: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "socks5-"));
  try {
    await use(join(directory, "list.txt"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function* input(text: string | Uint8Array): AsyncIterable<Uint8Array> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  for (let i = 0; i < bytes.length; i += 7) yield bytes.subarray(i, i + 7);
}

test("a proxy may be a unix socket", async () => {
  const directory = mkdtempSync(join(tmpdir(), "socks5-"));
  try {
    await withProxy({ path: join(directory, "socks") }, async () => {
      const { code, out } = await cli(["check", `socks5h://localhost${directory}/socks`]);
      assertEquals([code, out.split("\n")[1]], [0, `${directory}/socks`]);
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("--help tells of every command and option, of every exit code, and fits a terminal", async () => {
  assertEquals(await cli(["--help"]), { code: 0, out: HELP[""], err: "" });
  for (const args of [["-h"], ["help"], ["help", "nonsense"], ["help", "constructor"]]) {
    assertEquals((await cli(args)).out, HELP[""]);
  }
  for (const name of ["check", "serve", "forward", "connect"] as const) {
    assertMatch(HELP[""], new RegExp(`^  ${name} `, "m"));
    for (const args of [["help", name], [name, "--help"], [name, DOWN, "-h"]]) {
      assertEquals(await cli(args), { code: 0, out: HELP[name], err: "" });
    }
    const { err } = await cli([name, DOWN, "--nonsense"]);
    assertEquals(err, `socks5: unknown option --nonsense (try: socks5 ${name} --help)\n`);
  }
  const options = {
    check: ["proxies", "concurrency", "good", "all", "json", "repeat", "timeout", "tls", "probe", "exit", "udp"],
    connect: ["timeout", "proxies"],
    serve: ["port", "max-clients", "verbose", "proxies"],
    forward: ["max-clients", "verbose", "proxies"],
  };
  for (const [name, all] of Object.entries(options)) {
    for (const option of all) assertMatch(HELP[name as "check"], new RegExp(`^  --${option} `, "m"));
  }
  for (const [name, code] of Object.entries(EXIT)) {
    if (code >= 3 && name !== "target-not-found") assertMatch(HELP[""], new RegExp(` ${code}  ${name}: `));
  }
  for (const code of [130, 143, 141]) assertMatch(HELP[""], new RegExp(`\\b${code}\\b`));
  for (const name of ["serve", "forward"] as const) {
    assertMatch(HELP[""], /\(serve and forward: 0, unless it is the\n {2}second signal\)/);
    assertMatch(
      HELP[name],
      /On SIGINT\nor SIGTERM, .*, and the exit code is 0; a\nsecond signal ends the process at once, with 130 or 143\./,
    );
  }
  for (const line of Object.values(HELP).join("").split("\n")) assert(line.length <= 80, line);
});

test("who runs the module of main() instead of the program is told where the program is", async () => {
  const [runtime, ...args] = PROGRAM.map((it) => it.replace(/main\.ts$/, "mod.ts"));
  const child = spawn(runtime!, [...args, "--version"]);
  const said = { out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (chunk) => said.out += chunk);
  child.stderr.setEncoding("utf8").on("data", (chunk) => said.err += chunk);
  const [code] = await once(child, "close");
  assertEquals([code, said.out], [2, ""]);
  assertMatch(said.err, /^socks5: nothing is done, since the program is \.\/cli\/main: deno run .*\/cli\/main\n$/);
}, { skip: quick });

test("--version is that of the package", async () => {
  const { version } = JSON.parse(readFileSync(new URL("../../deno.json", import.meta.url), "utf8"));
  assertEquals(VERSION, version);
  for (const flag of ["--version", "-V"]) assertEquals((await cli([flag])).out, `socks5 ${version}\n`);
});

test("arguments are shown without user names and passwords", () => {
  assertEquals(
    redactArgs(["check", "socks5h://alice:s@same@a.test:1", "--x=socks5://sesame@b", "socks5h://c.test", "d:1", "u@e"]),
    "check socks5h://(redacted)@a.test:1 --x=socks5://(redacted)@b socks5h://c.test d:1 u@e",
  );
  assertEquals(
    redactArgs(["serve", "--admin-credentials", "a:b", "--admin-credentials=a:b", "--admin-readonly", "x"]),
    "serve --admin-credentials (redacted) --admin-credentials=(redacted) --admin-readonly x",
  );
});
