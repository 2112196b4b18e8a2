import { assertEquals } from "@std/assert";
import { Recorder } from "../../admin/mod.ts";
import { type EventDetails, ProxyError, type Socks5Error, TargetError } from "../../mod.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { test } from "../support/test.ts";

const DOWN = new ProxyError("SOCKS5_PROXY_UNREACHABLE", "the proxy was not reached", { phase: "dial" });
const REFUSED = new TargetError("SOCKS5_TARGET_REFUSED", "refused", { phase: "request" });
const TARGET = "a.test:80";

let lastId = 0;

/** Tells a recorder of a connect with one attempt, which takes so many milliseconds. */
function attempt(recorder: Recorder, proxy: string, took: number, end: EventDetails): void {
  const id = ++lastId;
  recorder.onEvent({ id, proxy, target: TARGET, ms: 5, type: "attempt", attempt: 1 });
  recorder.onEvent({ id, proxy, target: TARGET, ms: 5 + took, ...end });
}

const granted = (recorder: Recorder, proxy: string, took = 1) =>
  attempt(recorder, proxy, took, { type: "connected", attempt: 1, reused: false });

const failed = (recorder: Recorder, proxy: string, error: Socks5Error = DOWN) =>
  attempt(recorder, proxy, 1, { type: "failed", attempt: 1, error, next: null, delay: 0 });

/** What was counted, by how many seconds ago. */
function ago(counts: readonly number[] | undefined): Record<number, number> {
  const found = counts?.flatMap((count, i) => count === 0 ? [] : [[59 - i, count]]) ?? [];
  return Object.fromEntries(found);
}

const inTime = (name: string, run: (clock: Clock, recorder: Recorder) => void) =>
  test(name, () => withClock((clock) => Promise.resolve(run(clock, new Recorder()))));

inTime("a recorder counts connects and failures of a proxy second by second, for a minute", (clock, recorder) => {
  granted(recorder, "a");
  granted(recorder, "a");
  clock.jump(1_000);
  failed(recorder, "a");
  granted(recorder, "b");
  clock.jump(58_000);
  assertEquals([ago(recorder.of("a")?.connects), ago(recorder.of("a")?.failures)], [{ 59: 2 }, { 58: 1 }]);
  assertEquals([ago(recorder.all.connects), ago(recorder.all.failures)], [{ 58: 1, 59: 2 }, { 58: 1 }]);
  clock.jump(1_000);
  assertEquals([ago(recorder.of("a")?.connects), ago(recorder.of("a")?.failures)], [{}, { 59: 1 }]);
  clock.jump(3_600_000);
  granted(recorder, "a");
  assertEquals([ago(recorder.of("a")?.connects), ago(recorder.of("a")?.failures)], [{ 0: 1 }, {}]);
  assertEquals(recorder.of("c"), undefined);
});

inTime("a recorder knows the median and the 95th percentile of the last 128 grants", (_, recorder) => {
  assertEquals([recorder.all.median, recorder.all.p95], [null, null]);
  for (let ms = 1_000; ms < 1_100; ms++) granted(recorder, "a", ms); // which are forgotten
  for (let ms = 1; ms <= 128; ms++) granted(recorder, "a", ms);
  assertEquals([recorder.of("a")?.median, recorder.of("a")?.p95], [65, 122]);
});

inTime("a tunnel that is used again is no connect of its proxy, and takes no time", (_, recorder) => {
  recorder.onEvent({ id: 1, proxy: "a", target: TARGET, ms: 1, type: "connected", attempt: 0, reused: true });
  assertEquals([recorder.of("a"), ago(recorder.all.connects)], [undefined, {}]);
});

inTime("an attempt that was overtaken counts for nothing, and the one that went on for its own time", (_, recorder) => {
  const event = { id: 1, target: TARGET };
  recorder.onEvent({ ...event, proxy: "a", ms: 0, type: "attempt", attempt: 1 });
  recorder.onEvent({ ...event, proxy: "b", ms: 2_000, type: "attempt", attempt: 2 });
  recorder.onEvent({ ...event, proxy: "a", ms: 2_010, type: "overtaken", attempt: 1 });
  recorder.onEvent({ ...event, proxy: "b", ms: 2_030, type: "connected", attempt: 2, reused: false });
  assertEquals([recorder.of("a"), recorder.of("b")?.median], [undefined, 30]);
});

inTime("the failure of a target is among the last ones, and none of its proxy", (_, recorder) => {
  failed(recorder, "a", REFUSED);
  failed(recorder, "b", DOWN);
  assertEquals(recorder.failures.map(({ code, proxy, next }) => [code, proxy, next]), [
    ["SOCKS5_PROXY_UNREACHABLE", "b", null],
    ["SOCKS5_TARGET_REFUSED", "a", null],
  ]);
  assertEquals([recorder.of("a"), ago(recorder.of("b")?.failures), recorder.of("b")?.lastFailure], [
    undefined,
    { 0: 1 },
    "SOCKS5_PROXY_UNREACHABLE",
  ]);
});

inTime(
  "a recorder keeps the last hundred failures, of each message a part, with nothing invisible in it",
  (_, recorder) => {
    for (let i = 0; i < 150; i++) {
      const message = `${i}\u202e${"x".repeat(1_000)}`;
      failed(recorder, "a", new ProxyError("SOCKS5_PROXY_UNREACHABLE", message, { phase: "dial" }));
    }
    const { failures } = recorder;
    assertEquals([failures.length, failures[0]!.message.length, failures[0]!.message.slice(0, 12)], [
      100,
      300,
      "149\\u{202e}x",
    ]);
    assertEquals(failures.at(-1)!.message.slice(0, 3), "50\\");
  },
);

inTime("a recorder forgets the proxies that were not used for the longest time", (clock, recorder) => {
  granted(recorder, "old");
  granted(recorder, "used");
  clock.jump(1_000);
  for (let i = 0; i < 19_998; i++) granted(recorder, `${i}`);
  clock.jump(1_000);
  granted(recorder, "used");
  granted(recorder, "one too many");
  assertEquals(["old", "used", "one too many"].map((it) => recorder.of(it) !== undefined), [false, true, true]);
});

inTime("the memory of a recorder is bounded when connects are aborted again and again", (_, recorder) => {
  const begun = { proxy: "a", target: TARGET, ms: 0, type: "attempt", attempt: 1 } as const;
  for (let id = 1; id <= 20_001; id++) recorder.onEvent({ ...begun, id });
  for (const id of [1, 2]) {
    recorder.onEvent({ ...begun, id, ms: 7, type: "connected", reused: false });
    assertEquals(recorder.of("a")?.median, id === 1 ? null : 7);
  }
});
