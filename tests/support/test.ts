import { watched } from "./leaks.ts";
import { Socks5Client } from "../../mod.ts";

// the core of a client is loaded at its first use: not in the fake time of a test
await new Socks5Client("socks5h://127.0.0.1").close();

/**
 * Registers one test with the running runtime's own runner.
 * It fails if it does not end within 50 seconds or leaves a socket, a timer, fake time or an unhandled rejection behind.
 */
export function test(name: string, fn: () => void | Promise<void>, options: { skip?: string | false } = {}): void {
  const skip = Boolean(options.skip);
  // Bun drops the reason that node:test is given, so the name carries it everywhere.
  register(skip ? `${name} [skipped: ${options.skip}]` : name, () => inTurn(fn), skip);
}

type Register = (name: string, fn: () => Promise<void>, skip: boolean) => void;

const register: Register = await runner();
let last: Promise<void> = Promise.resolve();

async function runner(): Promise<Register> {
  if ("Deno" in globalThis) {
    return (name, fn, ignore) => Deno.test({ name, fn, ignore, sanitizeOps: true, sanitizeResources: true });
  }
  const { test } = await import("node:test");
  return (name, fn, skip) => void test(name, { skip }, fn);
}

// Node and Bun begin the next test once a rejection failed one that still runs; leaks would be blamed on the wrong one.
function inTurn(fn: () => void | Promise<void>): Promise<void> {
  const run = last.then(() => watched(fn));
  last = run.catch(() => {});
  return run;
}
