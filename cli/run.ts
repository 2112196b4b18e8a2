import { spawn } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";
import { isatty } from "node:tty";
import { serve } from "../serve/mod.ts";
import { type Balance, Socks5Client } from "../mod.ts";
import { parseSession } from "../src/arguments.ts";
import type { CliIo } from "./io.ts";
import { NotStarted, onOneLine, UsageError } from "./outcome.ts";
import { checkUpstream } from "./plan.ts";
import { proxiesOf } from "./proxies.ts";
import { teller } from "./teller.ts";
import type { Given } from "./usage.ts";

/** Runs a program whose requests go through the proxies, and ends as it ends. */
export async function run(given: Given, io: CliIo): Promise<number> {
  const [program, ...args] = given.program ?? [];
  const { proxies: found, rest } = await proxiesOf(given, io);
  if (program === undefined || rest.length > 0) {
    throw new UsageError("give the program behind --, as in: socks5 run -- curl https://example.com", "run");
  }
  const session = sessionOf(given);
  const balance = given.value("balance") as Balance | undefined;
  const proxies = found.map(({ url }) => url);
  const name = (option: string) => option === "balance" ? "--balance" : option;
  checkUpstream(proxies, { balance }, { option: name, proxy: (i) => () => found[i]!.from ?? "proxy", proxies: name });
  const say = (line: string) => void io.stderr.write(`socks5: ${onOneLine(line)}\n`).catch(() => {});
  const client: Socks5Client = new Socks5Client(proxies, {
    balance,
    pool: { maxOpen: Infinity }, // programs have their own limits
    onEvent: teller({ say, isVerbose: given.has("verbose") }, () => client.stats().proxies),
  });
  const localProxy = await serve(client, {
    ...(session !== undefined && { onConnection: () => ({ session }) }),
    maxClients: Infinity,
    onError: ({ message }) => say(message),
  });
  try {
    return await ended(program, args, environment(io.env, localProxy.url, given.value("no-proxy") ?? ""), io);
  } finally {
    await localProxy.close();
    await client.close();
  }
}

function sessionOf(given: Given): string | undefined {
  try {
    return parseSession(given.value("session"));
  } catch {
    throw new UsageError("--session takes a text of 1 to 255 bytes", "run");
  }
}

/** That of the program: its proxy is the local one, and the password of the others is none of its business. */
function environment(own: CliIo["env"], url: string, noProxy: string): Record<string, string | undefined> {
  const env: Record<string, string | undefined> = { ...own, SOCKS5_PROXY: undefined, NODE_USE_ENV_PROXY: "1" };
  const variables = { http_proxy: url, https_proxy: url, all_proxy: url, no_proxy: noProxy };
  for (const [name, value] of Object.entries(variables)) env[name] = env[name.toUpperCase()] = value;
  return env;
}

/** Runs a program to its end, with the signals that come; gives what a shell would give for how it ended. */
async function ended(
  program: string,
  args: readonly string[],
  env: Record<string, string | undefined>,
  io: CliIo,
): Promise<number> {
  const child = spawn(program, args, { env, stdio: "inherit" });
  const pass = (signal: NodeSignal) => {
    // a terminal sends this one to the program, too
    if (signal === "SIGINT" && isatty(0)) return;
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(child.pid, signal);
    }
  };
  const unlisten = [io.onSignal(pass), io.onHangup(() => pass("SIGHUP"))];
  try {
    return await new Promise((resolve, reject) => {
      child.once("error", (error) => reject(new NotStarted(program, (error as { code?: string }).code)));
      child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
    });
  } finally {
    for (const it of unlisten) it();
  }
}

type NodeSignal = "SIGINT" | "SIGTERM" | "SIGHUP";
