import type { Socks5Event, Socks5Stats } from "../mod.ts";
import { duration } from "./paint.ts";

/**
 * Tells what failed for good; if it is `isVerbose`, also what went well, which proxies were passed over and why, and when
 * one comes back.
 */
export function teller(
  { say, isVerbose }: { say(line: string): void; readonly isVerbose: boolean },
  health: () => Socks5Stats["proxies"],
): (event: Socks5Event) => void {
  const codes = new Map<string, string>(); // of proxies whose last attempt failed
  return (event) => {
    if (event.id === undefined) {
      // a failure is told by what failed
      if (isVerbose && !(event.type === "suspended" && event.reason === "failure")) say(ofProxies(event));
      return;
    }
    const { target, proxy, ms } = event;
    if (event.type === "failed") {
      const { next, delay, error } = event;
      codes.set(proxy, error.code);
      if (next === null || isVerbose) say(`${error.message}${next === null ? "" : `; ${NEXT[next](delay)}`}`);
    }
    if (event.type === "overtaken" || event.type === "connected") codes.delete(proxy);
    if (event.type === "connected" && isVerbose) {
      const all = health();
      const past = all.slice(0, all.findIndex((it) => it.proxy === proxy)).filter(({ cooldown }) => cooldown > 0)
        .map(({ proxy, cooldown }) => `${proxy} (${codes.get(proxy) ?? "silent"}, for another ${duration(cooldown)})`);
      say(`${target} through ${proxy}, ${duration(ms)}${past.length > 0 ? `; passed over: ${past.join(", ")}` : ""}`);
    }
  };
}

function ofProxies(event: Socks5Event & { id?: undefined }): string {
  if (event.type === "shared") return `the shared store is ${event.state}`;
  const where = event.hostname === undefined ? "" : ` for ${event.hostname}`;
  if (event.type === "resumed") return `${event.proxy} is back in service${where}`;
  return `${event.proxy} is out of service${where} for ${duration(event.duration)}`;
}

const NEXT: Readonly<Record<"address" | "retry" | "failover", (delay: number) => string>> = {
  address: () => "trying the next address",
  failover: () => "trying another proxy",
  retry: (delay) => `trying again in ${duration(delay)}`,
};
