import type { Outcome, Report, Task } from "./examine.ts";
import type { CliIo } from "./io.ts";
import { drawProgress, drawProxy, drawSummary, type Figures } from "./list_report.ts";
import { columnsOf, Live } from "./live.ts";
import { Interrupted } from "./outcome.ts";
import { painter } from "./paint.ts";
import { titlesOf } from "./proxies.ts";
import { outcomeOf } from "./report.ts";

/**
 * Checks many proxies, some at a time, and prints what comes of each in the order of the list: a line for a person, or one
 * of JSON for each check. A terminal shows how far it is. Ends with the figures of all, or of those that are known when
 * the signal aborts. `outcomes` gets what is known, by the place of a proxy in the list.
 */
export async function checkList(
  io: CliIo,
  { proxies, examiner, rounds, signal }: Task,
  { concurrency, isJson }: { concurrency: number; isJson: boolean },
  outcomes: Outcome[],
): Promise<void> {
  const { stdout, stderr } = io;
  const begun = performance.now();
  let started = 0;
  const { target } = examiner;
  const figures = (): Figures => ({ outcomes, total: proxies.length, started, target, ms: performance.now() - begun });
  const screen = stdout.columns === null ? stderr : stdout;
  const paint = { out: painter(io, stdout), screen: painter(io, screen) };
  const live = new Live(screen, (columns) => drawProgress(figures(), { paint: paint.screen, columns }));
  const texts = new InOrder((text) => screen === stdout ? live.print(text) : stdout.write(text));
  const titles = titlesOf(proxies);

  const checkProxy = async (i: number, signal: AbortSignal) => {
    const { url, line } = proxies[i]!;
    const reports: Report[] = [];
    while (reports.length < rounds) {
      const report = await examiner.examine(url, { signal });
      reports.push(report);
      if (isJson) await texts.add(i, `${JSON.stringify(line === undefined ? report : { line, ...report })}\n`);
    }
    const outcome = outcomes[i] = outcomeOf(reports);
    const title = `${titles[i]}${line === undefined ? "" : ` (line ${line})`}`;
    const drawn = isJson ? [] : drawProxy(title, outcome, { paint: paint.out, columns: columnsOf(stdout) });
    await texts.end(i, drawn.map((it) => `${it}\n`).join(""));
  };

  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const work = async () => {
    while (started < proxies.length && !either.aborted) await checkProxy(started++, either);
  };
  const workers = Array.from({ length: Math.min(concurrency, proxies.length) }, work);
  await Promise.all(workers.map((worker) => worker.catch((error) => failed.abort(error))));
  try {
    if (either.aborted && !(either.reason instanceof Interrupted)) throw either.reason;
    await texts.endAll();
  } finally {
    await live.clear();
  }
  const output = isJson ? stderr : stdout;
  if (proxies.length > 1 && (!isJson || stderr.columns !== null)) {
    const drawing = { paint: painter(io, output), columns: columnsOf(output) };
    const lines = drawSummary(figures(), drawing, output.columns !== null);
    await output.write(lines.map((it) => `${it}\n`).join(""));
  }
  if (either.aborted) throw either.reason;
}

/** Writes texts in the order of their places: at once what belongs to the first place that has not ended. */
class InOrder {
  readonly #write: (text: string) => Promise<void>;
  /** Of places after the first. */
  readonly #waiting: Map<number, { text: string; hasEnded: boolean }> = new Map();
  #first = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(write: (text: string) => Promise<void>) {
    this.#write = write;
  }

  /** Resolves when all that can be written is written. */
  add(place: number, text: string): Promise<void> {
    if (place === this.#first) return this.#next(text);
    const waiting = this.#waiting.get(place);
    if (waiting === undefined) this.#waiting.set(place, { text, hasEnded: false });
    else waiting.text += text;
    return this.#writing;
  }

  /** As {@linkcode add}; no more follows for this place. */
  end(place: number, text: string): Promise<void> {
    if (place !== this.#first) {
      const written = this.add(place, text);
      this.#waiting.get(place)!.hasEnded = true;
      return written;
    }
    for (let next; (next = this.#waiting.get(++this.#first)) !== undefined;) {
      this.#waiting.delete(this.#first);
      text += next.text;
      if (!next.hasEnded) break;
    }
    return this.#next(text);
  }

  /** Writes what waits for places that never end. */
  endAll(): Promise<void> {
    const places = [...this.#waiting].sort(([a], [b]) => a - b);
    this.#waiting.clear();
    return this.#next(places.map(([, { text }]) => text).join(""));
  }

  #next(text: string): Promise<void> {
    if (text !== "") this.#writing = this.#writing.then(() => this.#write(text));
    return this.#writing;
  }
}
