import { readFileSync } from "node:fs";
import { start } from "./driven.mjs";

/** Starts the proxy; `address` is what the workers are told of it. */
export async function startProxy(hostname = "127.0.0.1", prefix = []) {
  const proxy = await start("bun", "proxy.mjs", [hostname], prefix);
  return {
    address: { hostname, ...proxy.hello },
    end: () => proxy.end(),

    /** Runs something and gives the share of the time in which the thread of the proxy was at work. */
    async loadDuring(run) {
      const before = busy(proxy.pid);
      const start = performance.now();
      await run();
      return (busy(proxy.pid) - before) / (performance.now() - start);
    },
  };
}

/** Milliseconds on a processor, of the main thread. */
function busy(pid) {
  return Number(
    readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[0],
  ) / 1e6;
}
