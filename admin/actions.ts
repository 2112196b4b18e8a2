import type { CheckReport } from "../src/check.ts";
import { MAX_DELAY } from "../src/config/settings.ts";
import type { AdminSource } from "./options.ts";

/** What a button asks for. */
export interface Action {
  proxy: string;
  client: string | null;
  /** Milliseconds, or `null` for no end. */
  for: number | null;
}

/** What is said of an action. */
export interface ActionResult {
  status: number;
  /** What happened, or what is wrong, as a sentence. */
  message: string;
  /** Whether a proxy that was checked works. */
  works?: boolean;
}

/** The actions by the last part of their paths. */
export const ACTIONS: Readonly<
  Record<string, (source: AdminSource, action: Action, signal: AbortSignal) => ActionResult | Promise<ActionResult>>
> = {
  suspend({ client }, action) {
    client.suspend(action.proxy, { for: action.for ?? Infinity });
    return { status: 200, message: `${action.proxy} is suspended` };
  },
  resume({ client }, { proxy }) {
    client.resume(proxy);
    return { status: 200, message: `${proxy} is back in service` };
  },
  async check({ client }, { proxy }, signal) {
    const reports = await client.check(undefined, { proxy, signal, timeout: CHECK_TIMEOUT });
    const report = reports.find(({ verdict }) => verdict !== "ok") ?? reports[0]!;
    return { status: 200, works: report.verdict === "ok", message: `${proxy}: ${sentenceOf(report)}` };
  },
};

const CHECK_TIMEOUT = 10_000; // milliseconds

/** Reads the body of an action; a text says what is wrong with it. */
export function parseAction(body: string): Action | string {
  let given: unknown;
  try {
    given = JSON.parse(body);
  } catch {
    return "The body is no JSON";
  }
  const { proxy, client = null, for: duration = null } = Object(given) as Record<string, unknown>;
  if (typeof proxy !== "string") return "proxy must be the label of a proxy";
  if (client !== null && typeof client !== "string") return "client must be the name of a client, or null";
  if (duration !== null && !(typeof duration === "number" && duration >= 0 && duration <= MAX_DELAY)) {
    return `for must be null or 0 to ${MAX_DELAY} milliseconds`;
  }
  return { proxy, client, for: duration };
}

function sentenceOf({ verdict, ms, steps }: CheckReport): string {
  if (verdict === "ok") return `the handshake took ${ms} ms`;
  return `${verdict}: ${steps.find(({ status }) => status === "failed")?.message ?? "the check failed"}`;
}
