import { assertEquals, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { Socks5Client, type Socks5Options } from "../../mod.ts";
import { type Phase, socks5Error, type Socks5ErrorCode } from "../../src/errors.ts";
import { POLICY } from "../../src/proxies/policy.ts";
import { settings } from "../../src/config/settings.ts";
import { tables } from "../support/markdown.ts";
import { test } from "../support/test.ts";

const readme = tables(readFileSync(new URL("../../README.md", import.meta.url), "utf8"));
const code = (cell: string) => cell.replace(/^`(.*)`$/, "$1");
const options = readme["Options"]!.filter((row) => "Lowest" in row);
const codes = readme["Errors"]!;

test("the README's table of options has the defaults of the code, and no option is left out", () => {
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
    onEvent: undefined,
  };
  const shown = (value: unknown) => value === undefined ? "none" : String(value);
  const inReadme = Object.fromEntries(
    options.map((row) => [code(row["Option"]!), code(row["Default"]!).replaceAll('"', "")]),
  );
  const inCode = Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, shown(value)]));
  assertEquals(inReadme, inCode);
});

test("the README's table of options has the lowest values of the code", () => {
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

test("the README's table of errors has each code, with its class and whether it is retryable", () => {
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
