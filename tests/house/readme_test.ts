import { assert, assertEquals, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { EXIT } from "../../cli/outcome.ts";
import { Socks5Client, type Socks5Options } from "../../mod.ts";
import { type Phase, socks5Error, type Socks5ErrorCode } from "../../src/errors.ts";
import { POLICY } from "../../src/proxies/policy.ts";
import { settings } from "../../src/config/settings.ts";
import { papers, tablesOf } from "../support/papers.ts";
import { test } from "../support/test.ts";

test("the README is at most 250 lines", () => {
  const { text } = papers.find(({ file }) => file === "README.md")!;
  assert(text.trimEnd().split("\n").length <= 250);
});

const code = (cell: string) => cell.replace(/^`(.*)`$/, "$1");
const options = tablesOf("docs/options.md")["Client options"]!;
const codes = tablesOf("docs/errors.md")["Codes"]!;

test("the table of options has the defaults of the code, and no option is left out", () => {
  const { retries, minDelay, maxDelay, when, methods, ...others } = settings({});
  const { maxOpen, maxIdle, idleTimeout, maxLifetime, warm, warmTimeout, warmIdle, ...rest } = others;
  const defaults: Record<string, unknown> = {
    ...rest,
    methods: methods[0],
    retry: retries,
    "retry.retries": retries,
    "retry.minDelay": minDelay,
    "retry.maxDelay": maxDelay,
    "retry.when": when,
    "pool.maxOpen": maxOpen,
    "pool.maxIdle": maxIdle,
    "pool.idleTimeout": idleTimeout,
    "pool.maxLifetime": maxLifetime,
    "pool.warm": warm,
    "pool.warmTimeout": warmTimeout,
    "pool.warmIdle": warmIdle,
    transport: "that of the runtime",
    isolate: false,
    probe: undefined,
    shared: undefined,
    onEvent: undefined,
  };
  const shown = (value: unknown) => value === undefined ? "none" : String(value);
  const inTable = Object.fromEntries(
    options.map((row) => [code(row["Option"]!), code(row["Default"]!).replaceAll('"', "")]),
  );
  const inCode = Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, shown(value)]));
  assertEquals(inTable, inCode);
});

/** Which table has the members of which interface. */
const interfaces: [page: string, heading: string, file: string, name: string][] = [
  ["docs/options.md", "Options of connect()", "src/config/options.ts", "ConnectOptions"],
  ["docs/connect.md", "Check a proxy", "src/config/options.ts", "CheckOptions"],
  ["docs/udp.md", "UDP", "src/config/options.ts", "AssociateOptions"],
  ["docs/tls.md", "With the target", "src/transport.ts", "TlsOptions"],
  ["docs/serve.md", "Options", "serve/options.ts", "ServeOptions"],
];

for (const [page, heading, file, name] of interfaces) {
  test(`the table in ${page} has every member of ${name}, and no other`, () => {
    const source = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
    const members = new RegExp(`interface ${name}\\b([^{]*){([^]*?)\\n}`).exec(source)!;
    const own = Array.from(members[2]!.matchAll(/^ {2}(\w+)\??:/gm), ([, member]) => member!);
    const picked = Array.from(members[1]!.matchAll(/"(\w+)"/g), ([, member]) => member!);
    const cells = tablesOf(page)[heading]!.map((row) => Object.entries(row)[0]!).filter(([head]) =>
      /^Option/.test(head)
    );
    const listed = cells.flatMap(([, cell]) => Array.from(cell.matchAll(/`(\w+)`/g), ([, member]) => member!));
    const inherited = members[1]!.includes("CommandOptions") ? ["signal", "timeout", "credentials", "isolate"] : [];
    assertEquals(listed.filter((it) => !inherited.includes(it)).sort(), [...own, ...picked].sort());
  });
}

test("the table of options has the lowest values of the code", () => {
  for (const row of options) {
    const [name, lowest] = [code(row["Option"]!), row["Lowest"]!];
    if (lowest === "") continue;
    const [group, member] = name.split(".");
    const make = (value: number): Socks5Options => (member ? { [group!]: { [member]: value } } : { [group!]: value });
    new Socks5Client("socks5h://proxy", make(Number(lowest)));
    const below = Number(lowest) - 1;
    const error = assertThrows(() => new Socks5Client("socks5h://proxy", make(below)), RangeError);
    assertEquals(error.message.includes(name) && error.message.endsWith(` ${below}`), true, error.message);
  }
});

test("the table of errors has each code, with its class and whether it is retryable", () => {
  assertEquals(codes.map((row) => code(row["Code"]!)).sort(), Object.keys(POLICY).sort());
  const phases: Phase[] = ["pool", "lookup", "dial", "negotiate", "authenticate", "request", "tls", "transfer"];
  for (const row of codes) {
    const name = code(row["Code"]!) as Socks5ErrorCode;
    const errors = phases.map((phase) => socks5Error(name, "", { phase }));
    assertEquals(code(row["Class"]!), errors[0]!.name, name);
    const not = errors.filter((error) => !error.retryable).map((error) => error.phase);
    const those = errors.filter((error) => error.retryable).map((error) => error.phase);
    const said = those.length === 0
      ? "no"
      : not.length === 0
      ? "yes"
      : those.length === 1
      ? `yes, in phase \`${those.join()}\` alone`
      : `yes, but in phase \`${not.join()}\``;
    assertEquals(row["`retryable`"], said, name);
  }
});

test("the table of exit codes in docs/cli.md is that of the code", () => {
  const rows = tablesOf("docs/cli.md")["Exit codes"]!;
  const { failed: _failed, usage: _usage, ...verdicts } = EXIT;
  const said = rows.map((
    row,
  ) => [Number(row["Exit code"]), Array.from(row["Verdict"]!.matchAll(/`([\w-]+)`/g), ([, it]) => it!)]);
  const byCode = (code: number) => Object.entries(verdicts).filter(([, it]) => it === code).map(([verdict]) => verdict);
  assertEquals(said, Array.from(new Set(Object.values(EXIT).sort()), (code) => [code, byCode(code)]));
});
