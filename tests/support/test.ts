import { appendFileSync } from "node:fs";
import process from "node:process";
import { Socks5Client } from "../../mod.ts";
import { watched } from "./leaks.ts";

// the core of a client is loaded at its first use: not in the fake time of a test
await new Socks5Client("socks5h://127.0.0.1").close();

/** Whether only what takes no child process and no long time is tried; otherwise why such a test is skipped. */
export const quick: string | false = process.env.SOCKS5_TEST_QUICK === "1" && "not in a quick run";

/** Milliseconds that a test may take. */
const LIMIT = Number(process.env.SOCKS5_TEST_LIMIT ?? 50_000);

/**
 * Registers one test with the running runtime's own runner.
 * It fails if it does not end within 50 seconds or leaves a socket, a timer, fake time or an unhandled rejection behind.
 */
export function test(name: string, fn: () => void | Promise<void>, options: { skip?: string | false } = {}): void {
  const skip = Boolean(options.skip);
  const file = callingFile();
  if (skip) note(file, 0);
  // Bun drops the reason that node:test is given, so the name carries it everywhere.
  register(skip ? `${name} [skipped: ${options.skip}]` : name, () => inTurn(() => noted(file, fn)), skip);
}

type Register = (name: string, fn: () => Promise<void>, skip: boolean) => void;

const register: Register = await runner();
const now = performance.now.bind(performance); // also in fake time
let last: Promise<void> = Promise.resolve();

async function runner(): Promise<Register> {
  if ("Deno" in globalThis) {
    return (name, fn, ignore) => Deno.test({ name, fn, ignore, sanitizeOps: true, sanitizeResources: true });
  }
  const { test } = await import("node:test");
  return (name, fn, skip) => void test(name, { skip }, fn);
}

// Node and Bun begin the next test once a rejection failed one that still runs; leaks would be blamed on the wrong one.
function inTurn(fn: () => Promise<void>): Promise<void> {
  const run = last.then(fn);
  last = run.catch(() => {});
  return run;
}

async function noted(file: string | undefined, fn: () => void | Promise<void>): Promise<void> {
  const start = now();
  try {
    await watched(fn, LIMIT);
  } finally {
    note(file, now() - start);
  }
}

/** Tells tests/run.mjs which file a test is of and how long it took: no runner tells both. */
function note(file: string | undefined, ms: number): void {
  const log = process.env.SOCKS5_TEST_LOG;
  if (log && file) appendFileSync(log, `${ms.toFixed(1)} ${file}\n`);
}

/** The path or URL of the test file that registers a test, which may do so by a function of `support/`. */
function callingFile(): string | undefined {
  return new Error().stack?.match(/[^(\n]+_test\.ts(?=:\d)/g)?.at(-1);
}
