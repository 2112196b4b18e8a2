import { type Association, type CheckReport, type CheckStep, Socks5Client, Socks5Error } from "../mod.ts";
import { parseTarget } from "../src/protocol/address.ts";
import { DNS_SERVER, dnsAnswer } from "./dns_answer.ts";
import { exitAddress, parseExit } from "./exit_address.ts";
import { Unproven, UsageError, verdictOf } from "./outcome.ts";
import type { FoundProxy } from "./proxies.ts";
import type { Given } from "./usage.ts";

/** What is found out about a proxy: the report of the library, with the steps that only the command line takes. */
export interface Report extends Omit<CheckReport, "steps"> {
  steps: Step[];
  /** The address that the target of `--exit` sees. */
  exit?: string;
}

/** A step of a report. */
export interface Step extends Omit<CheckStep, "phase"> {
  phase: CheckStep["phase"] | "associate" | "answer" | "exit";
}

/** What many checks of a proxy come to. */
export interface Outcome {
  /** The first that is not ok. */
  readonly verdict: CheckReport["verdict"];
  /** The median of their times. */
  readonly ms: number;
  /** What went wrong. */
  readonly why?: string;
  readonly exit?: string;
}

/** What is to be done. */
export interface Task {
  readonly proxies: readonly FoundProxy[];
  readonly examiner: Examiner;
  /** How often each proxy is checked. */
  readonly rounds: number;
  readonly signal: AbortSignal;
}

/** How one check is made, and told of. */
export interface Asked {
  readonly signal: AbortSignal;
  /** Called as each step begins. */
  readonly onStep?: (step: { phase: string }) => void;
}

/** What proxies are checked for. */
export interface Examiner {
  /** `"host:port"`, or `undefined` if the proxies alone are checked. */
  readonly target: string | undefined;
  /** The steps of a report. */
  readonly phases: readonly string[];
  /** Checks a proxy, on connections of its own. */
  examine(url: string, asked: Asked): Promise<Report>;
}

/** Reads what proxies are to be checked for. */
export function examinerOf(given: Given, to: string | undefined): Examiner {
  const timeout = given.number("timeout", 1);
  const url = given.value("exit");
  const exit = url === undefined ? undefined : parseExit(url);
  const target = to === undefined ? undefined : parseTarget(to).name;
  const isUdp = given.has("udp");
  if (isUdp && (exit !== undefined || given.has("tls") || given.value("probe") !== undefined)) {
    throw new UsageError("--udp goes with none of --exit, --tls and --probe", "check");
  }
  const proof = proofFor(target, given.value("probe"), given.has("tls"));
  const aim = target ?? (isUdp ? DNS_SERVER : exit?.target);
  const own = isUdp ? ["associate", "answer"] : ["request", ...(proof.tls ? ["tls"] : []), "transfer"];
  const take = isUdp ? throughUdp(aim!) : exit !== undefined && target === undefined ? alone : upTo(target, proof);
  return {
    target: aim,
    phases: [
      ...["dial", "negotiate", "authenticate"],
      ...(take === alone ? [] : own),
      ...(exit === undefined ? [] : ["exit"]),
    ],
    async examine(url, asked) {
      const client = new Socks5Client(url, { timeout, attemptTimeout: timeout });
      try {
        const report = { ...await take(client, asked), target: aim ?? null };
        if (exit === undefined) return report;
        return await withStep(report, "exit", asked, async () => {
          report.exit = await exitAddress(client, exit, asked.signal, timeout);
          return `the target sees ${report.exit}`;
        });
      } finally {
        await client.close();
      }
    },
  };
}

type Check = (client: Socks5Client, asked: Asked) => Promise<Report>;

/** The proxy by itself, up to the request. */
async function alone(client: Socks5Client, asked: Asked): Promise<Report> {
  const report = (await client.check(undefined, asked))[0]!;
  return { ...report, steps: report.steps.filter(({ phase }) => phase !== "request" && phase !== "transfer") };
}

/** What has a target prove itself. */
interface Proof {
  readonly tls: boolean;
  readonly probe?: Uint8Array | undefined;
  /** What is sent, on a second connection, if the target says nothing by itself. */
  readonly second?: Uint8Array | undefined;
}

/** How much longer the second connection may take, in milliseconds. */
const SECOND = 1_000;

/** Whether bytes come from a target, if there is one. What has once proved that a target speaks is sent at once. */
function upTo(target: string | undefined, { tls, second, probe }: Proof): Check {
  return async (client, asked) => {
    if (target === undefined) return (await client.check(undefined, asked))[0]!;
    const report = (await client.check(target, { tls, probe, ...asked }))[0]!;
    const isSilent = report.verdict === "unproven" && report.code === "SOCKS5_ATTEMPT_TIMEOUT";
    if (!isSilent || second === undefined || probe === second) return report;
    const timeout = Math.round(report.ms) + SECOND; // what it took before included the wait for the first byte
    const again = (await client.check(target, { tls, probe: second, timeout, ...asked }))[0]!;
    if (again.verdict !== "ok") return report;
    probe = second;
    return again;
  };
}

/** Whether a DNS server answers by datagrams. */
function throughUdp(server: string): Check {
  return async (client, asked) => {
    const report = await alone(client, asked);
    let association: Association | undefined;
    try {
      await withStep(report, "associate", asked, async () => {
        association = await client.associate({ signal: asked.signal });
        return "the proxy carries datagrams";
      });
      return await withStep(report, "answer", asked, async () => {
        await dnsAnswer(association!, server, asked.signal);
        return "the DNS server answered";
      });
    } finally {
      association?.close();
    }
  };
}

/** Adds a step to a report; it is skipped after a failure. Throws only what is the caller's. */
async function withStep(
  report: Report,
  phase: Step["phase"],
  { onStep, signal }: Asked,
  take: () => Promise<string>,
): Promise<Report> {
  if (report.verdict !== "ok") {
    report.steps.push({ phase, status: "skipped", ms: 0, message: "not reached" });
    return report;
  }
  onStep?.({ phase });
  const begun = performance.now();
  const step: Step = { phase, status: "ok", ms: 0, message: "" };
  try {
    step.message = await take();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (!(error instanceof Socks5Error || error instanceof Unproven)) throw error;
    Object.assign(step, { status: "failed", message: error.message });
    report.verdict = error instanceof Unproven ? "unproven" : verdictOf(error);
    if (error instanceof Socks5Error) report.code = error.code;
  }
  step.ms = Math.round((performance.now() - begun) * 10) / 10;
  report.ms = Math.round((report.ms + step.ms) * 10) / 10;
  report.steps.push(step);
  return report;
}

/** What has the target prove itself. Of itself something is asked at once of web servers only, since many speak first. */
function proofFor(target: string | undefined, text: string | undefined, tls: boolean): Proof {
  const [, host, port] = /^(.*):(\d+)$/.exec(target ?? "") ?? [];
  if (host === undefined) {
    if (tls || text !== undefined) throw new UsageError("--probe and --tls are for a target, as HOST:PORT", "check");
    return { tls };
  }
  if (text !== undefined) return { tls, probe: bytesOf(text) };
  if (tls || port === "443" || port === "8443") return { tls: true };
  const head = bytesOf(`HEAD / HTTP/1.0\\r\\nHost: ${host}\\r\\n\\r\\n`);
  return port === "80" || port === "8080" ? { tls, probe: head } : { tls, second: head };
}

function bytesOf(text: string): Uint8Array | undefined {
  const bytes = text.replace(/\\([rnt0\\])/g, (_, letter) => ESCAPES[letter as keyof typeof ESCAPES]);
  return bytes === "" ? undefined : new TextEncoder().encode(bytes);
}

const ESCAPES = { r: "\r", n: "\n", t: "\t", 0: "\0", "\\": "\\" } as const;
