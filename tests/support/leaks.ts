import { FakeTime } from "@std/testing/time";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";

type Timers = Pick<typeof globalThis, "setTimeout" | "clearTimeout" | "setInterval" | "clearInterval">;

/** Runs `fn` and rejects if it does not end, or leaves a socket, a timer, fake time or an unhandled rejection behind. */
export async function watched(fn: () => void | Promise<void>, limit = 50_000): Promise<void> {
  const before = new Set(openSockets());
  const handlesBefore = new Set(nodeHandles());
  const rejections: string[] = [];
  const unlisten = onUnhandledRejection((reason) => rejections.push(text(reason)));
  timers.clear();
  try {
    await ending(fn, limit);
    // One turn for rejections to show, some more for what is about to be cleared.
    for (let turn = 0; turn === 0 || (turn < 10 && timers.size > 0); turn++) await pause(0);
    const problems = [
      ...timers.values(),
      ...(await unclosed(before)).map((socket) => `a socket was left open: ${socket}`),
      ...rejections.map((reason) => `a rejection was not handled: ${reason}`),
      ...(isFaked() ? ["fake time was left on"] : []),
    ];
    if (problems.length > 0) throw new Error(`The test left something behind:\n${problems.join("\n")}`);
  } finally {
    unlisten();
    if (isFaked()) FakeTime.restore();
    // A timer that fires in a later test would be blamed on that one.
    for (const handle of timers.keys()) clearTimeout(handle);
    // Node would wait for it for ever, and with it for the rest of the suite.
    for (const handle of nodeHandles()) if (!handlesBefore.has(handle)) handle.unref?.();
  }
}

const timers = new Map<Parameters<typeof clearTimeout>[0], string>();

const real: Timers = { setTimeout, clearTimeout, setInterval, clearInterval };

const counting: Timers = {
  setTimeout: new Proxy(real.setTimeout, {
    apply(start, self, [callback, ...rest]) {
      const fire = (...args: unknown[]) => {
        timers.delete(handle);
        callback(...args);
      };
      const handle = Reflect.apply(start, self, [fire, ...rest]);
      return started(handle, `a setTimeout of ${rest[0] ?? 0} ms was left`);
    },
  }),
  setInterval: new Proxy(real.setInterval, {
    apply(start, self, args) {
      return started(Reflect.apply(start, self, args), `a setInterval of ${args[1] ?? 0} ms was left`);
    },
  }),
  clearTimeout: new Proxy(real.clearTimeout, { apply: clear }),
  clearInterval: new Proxy(real.clearInterval, { apply: clear }),
};

for (const name of Object.keys(real) as (keyof Timers)[]) {
  let current: unknown = counting[name];
  Object.defineProperty(globalThis, name, {
    configurable: true,
    enumerable: true,
    get: () => current,
    // FakeTime puts back what was there when it was loaded, which is before this module.
    set: (value) => current = value === real[name] ? counting[name] : value,
  });
}

function started<T extends Parameters<typeof clearTimeout>[0]>(handle: T, what: string): T {
  const stack = new Error().stack ?? "";
  // undici has one clock for all of its connections, which it stops a while after the last
  if (!stack.includes("FastTimer")) timers.set(handle, what + "\n" + stack.split("\n").slice(3).join("\n"));
  return handle;
}

function clear(stop: typeof clearTimeout, self: unknown, args: Parameters<typeof clearTimeout>): void {
  timers.delete(args[0]);
  Reflect.apply(stop, self, args);
}

async function ending(fn: () => void | Promise<void>, limit: number): Promise<void> {
  const late = Promise.withResolvers<never>();
  const error = new Error(`The test did not end within ${limit} ms`);
  const timer = real.setTimeout(() => late.reject(error), limit);
  try {
    await Promise.race([fn(), late.promise]);
  } finally {
    real.clearTimeout(timer);
  }
}

function nodeHandles(): { unref?(): void }[] {
  return (process as { _getActiveHandles?(): { unref?(): void }[] })._getActiveHandles?.() ?? [];
}

function isFaked(): boolean {
  return globalThis.setTimeout !== counting.setTimeout;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => real.setTimeout(resolve, ms));
}

function onUnhandledRejection(report: (reason: unknown) => void): () => void {
  if (!("Deno" in globalThis)) {
    // Never called on Bun, whose runner fails the test by itself.
    process.on("unhandledRejection", report);
    return () => void process.off("unhandledRejection", report);
  }
  const listener = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    report(event.reason);
  };
  addEventListener("unhandledrejection", listener);
  return () => removeEventListener("unhandledrejection", listener);
}

function text(reason: unknown): string {
  return reason instanceof Error ? reason.stack ?? reason.message : String(reason);
}

/** Waits up to two seconds for the sockets that are new since `before` to close, and describes those that do not. */
async function unclosed(before: Set<string>): Promise<string[]> {
  const left = () => openSockets().filter((socket) => !before.has(socket));
  for (const end = performance.now() + 2_000; left().length > 0 && performance.now() < end;) await pause(10);
  return left().map(describe);
}

/** The sockets of this process as `socket:[inode]`; none where there is no `/proc`. */
function openSockets(): string[] {
  const links = attempt(() => readdirSync("/proc/self/fd")).map((fd) =>
    attempt(() => [readlinkSync(`/proc/self/fd/${fd}`)])
  );
  return [...new Set(links.flat())].filter((link) => link.startsWith("socket:"));
}

function describe(socket: string): string {
  const inode = socket.replace(/\D/g, "");
  for (const kind of ["tcp", "tcp6", "udp", "udp6", "unix"]) {
    const rows = attempt(() => readFileSync(`/proc/self/net/${kind}`, "utf8").split("\n"));
    const fields = rows.map((row) => row.trim().split(/\s+/)).find((fields) =>
      fields[kind === "unix" ? 6 : 9] === inode
    );
    if (fields === undefined) continue;
    if (kind === "unix") return `unix ${fields[7] ?? "without a path"}`;
    const [local, remote] = fields.slice(1, 3).map((address) => parseInt(address.split(":")[1] ?? "", 16));
    return `${kind} of port ${local}${remote === 0 ? "" : `, connected to port ${remote}`}`;
  }
  return socket;
}

// A descriptor may go while the list of them is read.
function attempt<T>(list: () => T[]): T[] {
  try {
    return list();
  } catch {
    return [];
  }
}
