/**
 * The command line as a function: `socks5 check`, `serve`, `run`, `forward` and `connect`. An import starts nothing; the
 * program is `./cli/main`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { main } from "jsr:@x/socks5/cli";
 *
 * assertEquals(await main(["check", "socks5h://user:pass@proxy.example:1080", "--json"]), 0);
 * ```
 *
 * @module
 */
import process from "node:process";
import { ADMIN_OPTIONS } from "./admin.ts";
import { check } from "./check.ts";
import { connect } from "./connect.ts";
import { HELP, VERSION } from "./help.ts";
import { type CliIo, processIo } from "./io.ts";
import { EXIT, outcomeOf, UsageError } from "./outcome.ts";
import { run as runProgram } from "./run.ts";
import { forward, serve } from "./serve.ts";
import { type Given, given, nearest, type OptionKinds } from "./usage.ts";

export type { CliIo, CliOutput } from "./io.ts";
export type { Stdout } from "./stdout.ts";

/**
 * Runs one command. It never rejects.
 *
 * @param args The arguments that follow the name of the program.
 * @param io Streams, environment and signals. Default: those of this process.
 * @returns The exit code, of which `socks5 --help` has a table.
 */
export async function main(args: readonly string[], io: CliIo = processIo()): Promise<number> {
  try {
    return await run(args, io);
  } catch (error) {
    const { code, line } = outcomeOf(error);
    if (line !== null) await io.stderr.write(`socks5: ${line}\n`).catch(() => {});
    return code;
  }
}

type Command = { options: OptionKinds; runsProgram?: boolean; run(given: Given, io: CliIo): Promise<number> };

/** Of the commands that serve until a signal comes. */
const SERVICE: OptionKinds = {
  ...{ "max-clients": "value", drain: "value", log: "value", "log-format": "value", quiet: "flag", verbose: "flag" },
};

const COMMANDS: Readonly<Record<string, Command>> = {
  check: {
    options: {
      ...{ json: "flag", all: "flag", good: "value", concurrency: "value", repeat: "value", timeout: "value" },
      ...{ tls: "flag", probe: "value", udp: "flag", exit: "value" },
    },
    run: check,
  },
  serve: {
    options: {
      ...{
        config: "value",
        check: "flag",
        listen: "value",
        port: "value",
        cert: "value",
        key: "value",
        balance: "value",
      },
      ...{ credentials: "value", session: "flag", "forward-credentials": "flag" },
      ...ADMIN_OPTIONS,
      ...SERVICE,
    },
    run: serve,
  },
  forward: { options: SERVICE, run: forward },
  run: {
    options: { balance: "value", session: "value", "no-proxy": "value", verbose: "flag" },
    runsProgram: true,
    run: runProgram,
  },
  connect: { options: { timeout: "value" }, run: connect },
};

async function run([name = "", ...args]: readonly string[], io: CliIo): Promise<number> {
  if (["-V", "--version", "version"].includes(name)) return await print(io, `socks5 ${VERSION}\n`);
  if (["-h", "--help", "help"].includes(name)) return await print(io, helpOf(args[0] ?? ""));
  if (name === "") throw new UsageError("give a command: check, serve, run, forward or connect");
  if (!Object.hasOwn(COMMANDS, name)) {
    const shown = /^[\w-]{1,30}$/.test(name) ? `${name.startsWith("-") ? "option" : "command"} ${name}` : "command";
    throw new UsageError(`unknown ${shown}${nearest(name, Object.keys(COMMANDS))}`);
  }
  const command = COMMANDS[name]!;
  const end = command.runsProgram && args.includes("--") ? args.indexOf("--") : args.length;
  const own = args.slice(0, end);
  if (own.some((arg) => arg === "-h" || arg === "--help")) return await print(io, helpOf(name));
  const it = given(name, own, { proxies: "value", ...command.options });
  return await command.run({ ...it, program: args.slice(end + 1) }, io);
}

/** That of a command; what is none has that of all. */
function helpOf(name: string): string {
  return Object.hasOwn(HELP, name) ? HELP[name as keyof typeof HELP] : HELP[""];
}

async function print({ stdout }: CliIo, text: string): Promise<number> {
  await stdout.write(text);
  return EXIT.ok!;
}

// somebody has run this module; in a bundle, which is run as a whole, the address is that of the bundle
if (import.meta.main && /\/cli\/mod\.[jt]s$/.test(import.meta.url)) {
  process.stderr.write(
    "socks5: nothing is done, since the program is ./cli/main: deno run -A jsr:@x/socks5/cli/main\n",
  );
  process.exitCode = EXIT.usage;
}
