import { type CheckReport, Socks5Client } from "../mod.ts";
import { parseTarget } from "../src/protocol/address.ts";
import { labelOf, parseProxy } from "../src/config/proxy_url.ts";
import { interruptible } from "./interrupt.ts";
import type { CliIo } from "./io.ts";
import { Live } from "./live.ts";
import { EXIT, UsageError } from "./outcome.ts";
import { painter } from "./paint.ts";
import { proxiesOf } from "./proxies.ts";
import { draw } from "./report.ts";
import type { Given } from "./usage.ts";

/** Checks proxies one after another; gives what the process ends with: that of the first check that is not ok. */
export async function check(given: Given, io: CliIo): Promise<number> {
  const timeout = given.number("timeout", 1);
  const rounds = given.number("repeat", 1) ?? 1;
  const { proxies, rest: [to, ...more] } = await proxiesOf(given, io);
  if (more.length > 0) throw new UsageError("give at most one target, as HOST:PORT", "check");
  const target = to === undefined ? undefined : parseTarget(to).name;
  const proof = proofFor(target, given.value("probe"), given.has("tls"));
  const print = given.has("json") ? printJson : printTable;
  // all of them before the first, so that nothing begins if one is malformed
  const named = proxies.map(({ url }) => nameOf(url));
  const checks = proxies.map(({ url, from }, i) => {
    const client = new Socks5Client(url, { timeout, attemptTimeout: timeout });
    const { name, label } = named[i]!;
    const hasOtherUser = named.some((other) => other.name === name && other.label !== label);
    const found = from === null ? "" : ` (${from})`;
    return { client, title: `${hasOtherUser ? label : name}${found}${target ? ` → ${target}` : ""}` };
  });
  return await interruptible(io, async (signal) => {
    const verdicts: CheckReport["verdict"][] = [];
    for (const { client, title } of checks) {
      const reports = await print(io, {
        title,
        phases: ["dial", "negotiate", "authenticate", "request", ...(proof.tls ? ["tls"] : []), "transfer"],
        rounds,
        check: async (onStep) => (await client.check(target, { ...proof, signal, onStep }))[0]!,
      });
      verdicts.push(...reports.map(({ verdict }) => verdict));
    }
    return EXIT[verdicts.find((verdict) => verdict !== "ok") ?? "ok"];
  });
}

/** The name of a proxy, and its label, which tells the users of one gateway apart. */
function nameOf(url: string): { name: string; label: string } {
  const { name, credentials } = parseProxy(url);
  return { name, label: labelOf(name, credentials) };
}

/** The checks of one proxy. */
interface Task {
  readonly title: string;
  readonly phases: readonly string[];
  readonly rounds: number;
  check(onStep?: (step: { phase: string }) => void): Promise<CheckReport>;
}

/** A line for each check, as soon as it is done. */
async function printJson({ stdout }: CliIo, { rounds, check }: Task): Promise<CheckReport[]> {
  const reports: CheckReport[] = [];
  while (reports.length < rounds) {
    reports.push(await check());
    await stdout.write(`${JSON.stringify(reports.at(-1))}\n`);
  }
  return reports;
}

/** A table, which is drawn while it fills. */
async function printTable(io: CliIo, { check, ...task }: Task): Promise<CheckReport[]> {
  const reports: CheckReport[] = [];
  let running: { phase: string; at: number }[] = [];
  const paint = painter(io);
  const live = new Live(io.stdout, () => {
    const columns = Math.max(io.stdout.columns ?? 1000, 60); // what is no terminal breaks no lines
    return draw({ ...task, reports, running }, { paint, columns, now: performance.now() });
  });
  try {
    while (reports.length < task.rounds) {
      running = [];
      const report = await check(({ phase }) => {
        running.push({ phase, at: performance.now() });
        live.draw();
      });
      reports.push(report);
    }
  } finally {
    await live.end(reports.length > 0);
  }
  return reports;
}

/** What has the target prove itself. Of itself something is asked of web servers only, since many others speak first. */
function proofFor(
  target: string | undefined,
  text: string | undefined,
  tls: boolean,
): { probe?: Uint8Array | undefined; tls?: boolean } {
  const [, host, port] = /^(.*):(\d+)$/.exec(target ?? "") ?? [];
  if (host === undefined) {
    if (tls || text !== undefined) throw new UsageError("--probe and --tls are for a target, as HOST:PORT", "check");
    return {};
  }
  if (text !== undefined) return { tls, probe: bytesOf(text) };
  if (tls || port === "443" || port === "8443") return { tls: true };
  return {
    probe: port === "80" || port === "8080" ? bytesOf(`HEAD / HTTP/1.0\\r\\nHost: ${host}\\r\\n\\r\\n`) : undefined,
  };
}

function bytesOf(text: string): Uint8Array | undefined {
  const bytes = text.replace(/\\([rnt0\\])/g, (_, letter) => ESCAPES[letter as keyof typeof ESCAPES]);
  return bytes === "" ? undefined : new TextEncoder().encode(bytes);
}

const ESCAPES = { r: "\r", n: "\n", t: "\t", 0: "\0", "\\": "\\" } as const;
