import { assert, assertEquals, assertMatch } from "@std/assert";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HELP, VERSION } from "../cli/help.ts";
import { EXIT } from "../cli/outcome.ts";
import { shown } from "../cli/proxies.ts";
import { cli, type FakeOptions } from "./support/cli.ts";
import { withProxy } from "./support/stage.ts";
import { test } from "./support/test.ts";

const ALICE = { username: "alice", password: "sesame" };
const DOWN = "socks5h://alice:sesame@127.0.0.1:1";

const wrong: [args: string[], message: string, env?: Record<string, string>][] = [
  [[], "give a command: check, serve, forward or connect (try: socks5 --help)"],
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
  [["check", "--timeout", "1s", DOWN], "--timeout takes a whole number from 1 (try: socks5 check --help)"],
  [["check", DOWN, "a:1", "b:2"], "give at most one target, as HOST:PORT (try: socks5 check --help)"],
  [["check", DOWN, "--probe", "x"], "--probe and --tls are for a target, as HOST:PORT (try: socks5 check --help)"],
  [["check", DOWN, "--tls"], "--probe and --tls are for a target, as HOST:PORT (try: socks5 check --help)"],
  [["connect", DOWN], "give one target, as HOST:PORT or HOST PORT (try: socks5 connect --help)"],
  [["connect", DOWN, "a", "1", "b"], "give one target, as HOST:PORT or HOST PORT (try: socks5 connect --help)"],
  [["serve", DOWN, "a:1"], "takes proxies only, as socks5h://host:port (try: socks5 serve --help)"],
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
    "no proxy is given: add socks5h://host:port, or set SOCKS5_PROXY or ALL_PROXY (try: socks5 check --help)",
  ],
  [
    ["check", "127.0.0.1:1080"],
    "no proxy is given: add socks5h://host:port, or set SOCKS5_PROXY or ALL_PROXY (try: socks5 check --help)",
    { HTTPS_PROXY: "http://alice:sesame@proxy.test:1", SOCKS5_PROXY: "" },
  ],
];

test("what is wrong with the arguments is one line that names it, and 2", async () => {
  for (const [args, message, env = {}] of wrong) {
    assertEquals(await cli(args, { env }), { code: 2, out: "", err: `socks5: ${message}\n` });
  }
});

const refused: [args: string[], message: string, env?: Record<string, string>][] = [
  [["check", "http://alice:sesame@a.test:1"], "Cannot use proxy as SOCKS5 proxy, the scheme must be"],
  [["connect", "socks5h://alice:sesame@a.test:99999", "b.test:1"], "Cannot use proxy as SOCKS5 proxy, the port must"],
  [["check", DOWN, "socks5h://alice:sesame@"], "Cannot use proxy as SOCKS5 proxy, the host name is missing"],
  [["check"], "Cannot use SOCKS5_PROXY as SOCKS5 proxy, the scheme is missing", { SOCKS5_PROXY: "sesame" }],
  [["serve"], "Cannot use all_proxy as SOCKS5 proxy, the port is malformed", { all_proxy: "socks5://a:sesame" }],
  [["check", DOWN, "a.test"], 'Cannot parse target as "host:port", the port is missing'],
  [["check", DOWN, "alice:sesame@a.test:0"], 'Cannot parse target as "host:port"'],
  [["connect", DOWN, "a.test", "http"], 'Cannot parse target as "host:port"'],
  [["connect", DOWN, "a.test", "0"], 'Cannot parse target as "host:port"'],
  [["serve", DOWN, "--port", "65536"], "Cannot use port as 0 to 65535: current value is 65536"],
  [["forward", DOWN, "0.0.0.0:0:a.test:1"], "Cannot use hostname as a loopback name"],
  [["forward", DOWN, "*:0:a.test:1"], "Cannot use hostname as "],
  [["forward", DOWN, "0:a.test:0"], 'Cannot parse target as "host:port"'],
];

test("what the library says of an argument is shown on one line, and 2", async () => {
  for (const [args, message, env = {}] of refused) {
    const { code, out, err } = await cli(args, { env });
    assertEquals([code, out], [2, ""], err);
    assert(err.startsWith(`socks5: ${message}`) && err.indexOf("\n") === err.length - 1, err);
    assert(!err.includes("sesame"), err);
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
    check: ["json", "repeat", "probe", "tls", "timeout"],
    connect: ["timeout"],
    serve: ["port", "verbose"],
  };
  for (const [name, all] of Object.entries(options)) {
    for (const option of all) assertMatch(HELP[name as "check"], new RegExp(`^  --${option} `, "m"));
  }
  for (const [name, code] of Object.entries(EXIT)) {
    if (code >= 3 && name !== "target-not-found") assertMatch(HELP[""], new RegExp(` ${code}  ${name}: `));
  }
  for (const line of Object.values(HELP).join("").split("\n")) assert(line.length <= 80, line);
});

test("--version is that of the package", async () => {
  const { version } = JSON.parse(readFileSync(new URL("../deno.json", import.meta.url), "utf8"));
  assertEquals(VERSION, version);
  for (const flag of ["--version", "-V"]) assertEquals((await cli([flag])).out, `socks5 ${version}\n`);
});

test("arguments are shown without user names and passwords", () => {
  assertEquals(
    shown(["check", "socks5h://alice:s@same@a.test:1", "--x=socks5://sesame@b", "socks5h://c.test", "d:1", "u@e"]),
    "check socks5h://(redacted)@a.test:1 --x=socks5://(redacted)@b socks5h://c.test d:1 u@e",
  );
});
