import { checkList } from "./check_list.ts";
import { examinerOf } from "./examine.ts";
import type { Outcome, Task } from "./examine.ts";
import { canAppend } from "./files.ts";
import { interruptible } from "./interrupt.ts";
import type { CliIo } from "./io.ts";
import { Live } from "./live.ts";
import { EXIT, UsageError } from "./outcome.ts";
import { painter } from "./paint.ts";
import { proxiesOf, titlesOf, writeList } from "./proxies.ts";
import { draw, outcomeOf, type View } from "./report.ts";
import type { Given } from "./usage.ts";

/** Checks one proxy or a list; gives what the process ends with: that of the first that is not ok. */
export async function check(given: Given, io: CliIo): Promise<number> {
  const rounds = given.number("repeat", 1) ?? 1;
  const concurrency = given.number("concurrency", 1) ?? 32;
  const isJson = given.has("json");
  const { proxies, rest: [to, ...more] } = await proxiesOf(given, io);
  if (more.length > 0) throw new UsageError("give at most one target, as HOST:PORT", "check");
  const examiner = examinerOf(given, to);
  const file = given.value("good");
  if (file !== undefined) await canAppend(file, "--good", "check");
  const outcomes: Outcome[] = []; // sparse: of those that are known
  try {
    await interruptible(io, async (signal) => {
      const task = { proxies, examiner, rounds, signal };
      if (proxies.length > 1 || isJson) await checkList(io, task, { concurrency, isJson }, outcomes);
      else outcomes[0] = await checkOne(io, task);
    });
  } finally {
    if (file !== undefined) await writeList(file, proxies.filter((_, i) => outcomes[i]?.verdict === "ok"), "check");
  }
  const bad = outcomes.find(({ verdict }) => verdict !== "ok");
  const isEnough = !given.has("all") && outcomes.some(({ verdict }) => verdict === "ok");
  return bad === undefined || isEnough ? EXIT.ok : EXIT[bad.verdict];
}

/** A table, which is drawn while it fills. */
async function checkOne(io: CliIo, { proxies: [proxy], examiner, rounds, signal }: Task): Promise<Outcome> {
  const found = proxy!.from === null ? "" : ` (${proxy!.from})`;
  const title = `${titlesOf([proxy!])[0]}${found}${examiner.target === undefined ? "" : ` → ${examiner.target}`}`;
  const reports: View["reports"][number][] = [];
  let running: { phase: string; at: number }[] = [];
  const paint = painter(io, io.stdout);
  const live = new Live(io.stdout, (columns) => {
    const view = { title, phases: examiner.phases, rounds, reports, running };
    return draw(view, { paint, columns, now: performance.now() });
  });
  try {
    while (reports.length < rounds) {
      running = [];
      const onStep = ({ phase }: { phase: string }) => {
        if (running.some((step) => step.phase === phase)) running = []; // on a second connection
        running.push({ phase, at: performance.now() });
      };
      reports.push(await examiner.examine(proxy!.url, { signal, onStep }));
    }
  } finally {
    await live.end(reports.length > 0);
  }
  return outcomeOf(reports);
}
