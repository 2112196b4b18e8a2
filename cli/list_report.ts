import type { CheckReport } from "../mod.ts";
import type { Outcome } from "./examine.ts";
import { bar, duration, type Paint, wrap } from "./paint.ts";
import { lay, verdictRow, VERDICTS } from "./report.ts";

/** What is known of a list of proxies. */
export interface Figures {
  /** By their place in the list; sparse. */
  readonly outcomes: readonly Outcome[];
  readonly total: number;
  readonly started: number;
  readonly target: string | undefined;
  /** Since the beginning. */
  readonly ms: number;
}

interface Drawing {
  readonly paint: Paint;
  readonly columns: number;
}

/** The lines about one proxy. */
export function drawProxy(title: string, { verdict, ms, why, exit }: Outcome, drawing: Drawing): string[] {
  const more = [why, exit].filter((it) => it !== undefined).join(", ");
  return lay({ ...verdictRow(verdict), figures: [duration(ms)], title, text: more }, { ...drawing, now: 0 });
}

/** How far it is: a bar, the rate, and the time that is left. */
export function drawProgress({ outcomes, total, started, ms }: Figures, { paint, columns }: Drawing): string[] {
  if (total === 1) return [];
  const known = Object.values(outcomes);
  const done = known.length;
  const good = known.filter(({ verdict }) => verdict === "ok").length;
  const width = Math.min(columns - 12, 60);
  const drawn = done === 0 ? "" : bar(0, done / total, width).trimEnd();
  const rest = paint("dim", "─".repeat(width - drawn.length));
  const rate = done / (ms / 1000); // per second
  const left = started === total
    ? `the last ${number(total - done)} under way`
    : `${roughly((total - done) / rate)} left`;
  const speed = done === 0 ? "" : `, ${rate.toFixed(rate < 10 ? 1 : 0)} per second, ${left}`;
  const text = `${number(done)} of ${number(total)}${speed}: ${number(good)} ok, ${number(done - good)} not`;
  return [
    "",
    `  ${paint("green", drawn)}${rest} ${percent(done, total).padStart(7)}`,
    ...wrap(text, columns - 3).map((line) => `  ${line}`),
  ];
}

/** How many have which verdict, and how long those that are good took; with a histogram of that. */
export function drawSummary(
  { outcomes, total, target, ms }: Figures,
  drawing: Drawing,
  hasHistogram: boolean,
): string[] {
  const { paint, columns } = drawing;
  const known = Object.values(outcomes);
  const good = known.filter(({ verdict }) => verdict === "ok");
  const aim = target === undefined ? "" : ` for ${target}`;
  const head = `${number(known.length)} of ${number(total)} checked${aim} in ${roughly(ms / 1000)}: ${
    number(good.length)
  } ok`;
  const verdicts = (Object.keys(VERDICTS) as CheckReport["verdict"][]).flatMap((verdict) => {
    const count = known.filter((it) => it.verdict === verdict).length;
    const row = { ...verdictRow(verdict), figures: [`${number(count)} `, percent(count, known.length)] };
    return count === 0 ? [] : lay(row, { ...drawing, now: 0 });
  });
  const times = good.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (part: number) => duration(times[Math.max(Math.ceil(part * times.length) - 1, 0)]!);
  const exits = new Set(good.flatMap(({ exit }) => exit ?? []));
  const sentences = [
    ...(times.length > 0 ? [`Time of those that are ok: min ${at(0)}, median ${at(0.5)}, p95 ${at(0.95)}`] : []),
    ...(exits.size > 0 ? [`Exit addresses: ${number(exits.size)}`] : []),
  ];
  return [
    "",
    ...wrap(head, columns - 1).map((line) => paint("bold", line)),
    "",
    ...verdicts,
    "",
    ...sentences.flatMap((it) => wrap(it, columns - 3).map((line) => `  ${line}`)),
    ...(sentences.length > 0 ? [""] : []),
    ...(hasHistogram && times.length > 1 ? [...histogram(times, drawing), ""] : []),
  ];
}

/** Sorted times in classes of 1, 2, 5, 10, … milliseconds. */
function histogram(times: readonly number[], { paint, columns }: Drawing): string[] {
  const classes: { limit: number; count: number }[] = [];
  let left = times.length;
  for (let i = -3; left > 0; i++) {
    const limit = [1, 2, 5][(i + 3) % 3]! * 10 ** Math.floor(i / 3);
    const count = times.filter((ms) => ms <= limit).length - (times.length - left);
    left -= count;
    if (count > 0 || classes.length > 0) classes.push({ limit, count });
  }
  const most = Math.max(...classes.map(({ count }) => count));
  const width = Math.min(columns - 31, 60);
  return classes.map(({ limit, count }) => {
    const drawn = count === 0 ? "" : bar(0, count / most, width).trimEnd();
    return `  up to ${`${limit} ms`.padStart(9)}  ${paint("green", drawn)}${" ".repeat(width - drawn.length)} ${
      number(count).padStart(8)
    }`;
  });
}

function percent(part: number, whole: number): string {
  return `${whole === 0 ? 0 : (Math.floor(1000 * part / whole) / 10).toFixed(1)} %`;
}

function number(n: number): string {
  return `${n}`.replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A time in seconds, as people say it. */
function roughly(seconds: number): string {
  if (seconds < 59.5) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return seconds < 599.5
    ? `${Math.floor(Math.round(seconds) / 60)} min ${Math.round(seconds) % 60} s`
    : minutes < 60
    ? `${minutes} min`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
