import type { CheckReport } from "../mod.ts";
import type { Outcome, Report } from "./examine.ts";
import { bar, duration, median, type Paint, type Style, wrap } from "./paint.ts";

/** What is known of the checks of one proxy. */
export interface View {
  readonly title: string;
  /** The steps of a check. */
  readonly phases: readonly string[];
  /** How many checks there will be. */
  readonly rounds: number;
  /** Those that are done. */
  readonly reports: readonly Report[];
  /** The steps of the one that runs, with the time at which each began; empty if none runs. */
  readonly running: readonly { phase: string; at: number }[];
}

/** How it is drawn. */
export interface Drawing {
  readonly paint: Paint;
  readonly columns: number;
  readonly now: number;
}

/** The lines of a view: of one check each step, of several their figures. */
export function draw(view: View, drawing: Drawing): string[] {
  const rows = view.rounds === 1 ? stepRows(view, drawing) : figureRows(view);
  const count = view.rounds === 1 ? "" : `, ${view.reports.length} of ${view.rounds}`;
  return [
    "",
    ...wrap(view.title + count, drawing.columns - 1).map((line) => drawing.paint("bold", line)),
    "",
    ...rows.flatMap((row) => lay(row, drawing)),
    "",
  ];
}

/** What checks of one proxy come to. */
export function outcomeOf(reports: readonly Report[]): Outcome {
  const last = reports.find(({ verdict }) => verdict !== "ok") ?? reports.at(-1)!;
  const failed = last.steps.find(({ status }) => status === "failed");
  return {
    verdict: last.verdict,
    ms: median(reports.map(({ ms }) => ms).sort((a, b) => a - b)),
    ...(failed && { why: why(last, failed.message) }),
    ...(last.exit && { exit: last.exit }),
  };
}

/** What a verdict means, and what helps. */
export const VERDICTS: Readonly<Record<CheckReport["verdict"], string>> = {
  "ok": "it works",
  "unproven": "the proxy says that the target is connected, and the target has not proven it: see --tls and --probe",
  "proxy-down": "the proxy does not answer: does it run, and are host and port right?",
  "not-socks5": "something else answers: is this the port of the SOCKS5 proxy?",
  "auth-refused": "check user name and password: socks5h://user:password@host:port",
  "target-refused": "the proxy works, and does not bring you to this target",
  "target-not-found": "the target has no address",
  "unanswered":
    "the proxy took the handshake, and did not answer the request in time: it, or the target, is slow or dead",
  "local-failed": "this process may not or cannot open a connection: a permission, or the limit of open files",
};

/** The longest name of a row, in columns. */
const NAME = Math.max(...Object.keys(VERDICTS).map(({ length }) => length));

/** A line of a table; `title` is what it is about, if that is not its name. */
export type Row = { mark: Mark; name: string; figures: string[]; bar?: string; title?: string; text: string };
type Mark = keyof typeof MARKS;

const MARKS = { ok: "✓", failed: "✗", skipped: "·", waiting: " ", running: "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" } as const;
const STYLES: Readonly<Record<Mark, Style>> = {
  ok: "green",
  failed: "red",
  skipped: "dim",
  waiting: "dim",
  running: "cyan",
};

function stepRows({ reports: [report], running, phases }: View, { now, columns }: Drawing): Row[] {
  if (report === undefined) return phases.map((phase) => runningRow(phase, phases, running, now));
  const width = columns >= 100 ? 16 : 10;
  const beside = (bar: string) => columns >= 72 ? { bar: bar.padEnd(width) } : {}; // else no sentence fits beside it
  let at = 0;
  const rows = report.steps.map(({ phase, status, ms, message }): Row => {
    const row = { mark: status, name: phase, text: why(report, message) };
    if (status === "skipped") return { ...row, figures: [""], ...beside("") };
    const part = bar(at / report.ms, (at + ms) / report.ms, width);
    at += ms;
    return { ...row, figures: [duration(ms)], ...beside(part) };
  });
  return [...rows, { ...verdictRow(report.verdict), figures: [duration(report.ms)], ...beside("") }];
}

function runningRow(phase: string, phases: readonly string[], running: View["running"], now: number): Row {
  const i = running.findIndex((step) => step.phase === phase);
  const row = { name: phase, text: "" };
  if (i >= 0) {
    const [step, next] = running.slice(i);
    return { ...row, mark: next ? "ok" : "running", figures: [duration((next?.at ?? now) - step!.at)] };
  }
  const passed = running.some((step) => phases.indexOf(step.phase) > phases.indexOf(phase));
  return { ...row, mark: passed ? "skipped" : "waiting", figures: [""] };
}

function figureRows({ reports, rounds, phases }: View): Row[] {
  const head: Row = { mark: "waiting", name: "", figures: ["min", "median", "max"], text: "" };
  const rows = phases.map((phase, i): Row => {
    const steps = reports.map(({ steps }) => steps[i]!);
    const times = steps.filter(({ status }) => status === "ok").map(({ ms }) => ms).sort((a, b) => a - b);
    const failed = reports.findLast(({ steps }) => steps[i]!.status === "failed");
    const text = failed ? why(failed, failed.steps[i]!.message) : times.length > 0 ? "" : steps.at(-1)?.message ?? "";
    const mark = failed ? "failed" : times.length > 0 ? "ok" : reports.length > 0 ? "skipped" : "waiting";
    if (times.length === 0) return { mark, name: phase, figures: ["", "", ""], text };
    return { mark, name: phase, figures: [times[0]!, median(times), times.at(-1)!].map(duration), text };
  });
  const verdicts = [...new Set(reports.map(({ verdict }) => verdict))].map((verdict): Row => {
    const count = reports.filter((report) => report.verdict === verdict).length;
    return { ...verdictRow(verdict), figures: [`${count}`, `of ${rounds}`, ""] };
  });
  return [head, ...rows, ...verdicts];
}

/** The row of a verdict, but for its figures. */
export function verdictRow(verdict: CheckReport["verdict"]): Omit<Row, "figures"> {
  const mark = verdict === "ok" ? "ok" : "failed";
  return { mark, name: verdict, text: VERDICTS[verdict] };
}

/** A message without what the title says. */
function why({ proxy, target }: Report, message: string): string {
  const told = [
    `Cannot use the proxy ${proxy}: `,
    `Cannot connect to ${target} through ${proxy}: `,
    `Cannot associate through ${proxy}: `,
  ].find((it) => message.startsWith(it));
  return message.slice(told?.length ?? 0);
}

/** The lines of a row: figures and text stand beside its name where there is room, else below it. */
export function lay({ mark, name, figures, bar, title, text }: Row, { paint, columns, now }: Drawing): string[] {
  const signs = MARKS[mark];
  const sign = signs[Math.floor(now / 80) % signs.length]!;
  const isVerdict = name in VERDICTS;
  const left = `  ${paint(STYLES[mark], sign)} ${paint(isVerdict ? STYLES[mark] : "cyan", name)}`;
  const cells = figures.map((figure) => figure.padStart(columns < 60 ? 9 : 10)).join("");
  const drawn = bar === undefined ? "" : `  ${paint("green", bar)}`;
  const end = 4 + NAME + cells.length + (bar === undefined ? 0 : 2 + bar.length);
  const beside = `${" ".repeat(NAME - name.length)}${cells}${drawn}`;
  const [head, indent] = end < columns ? [`${left}${beside}`, end + 2] : [left, 4];
  const below = end < columns || cells.trim() === "" ? [] : [`    ${cells.trimEnd()}`];
  const shade: Style | undefined = mark === "failed" ? "red" : "dim";
  const isBeside = indent > 4 && columns - 1 - indent >= 25;
  const room = columns - 1 - (isBeside ? indent : 4);
  const told = wrap(title === undefined || text === "" ? title ?? text : `${title}: ${text}`, room)
    .map((line) => title === undefined ? paint(shade, line) : line);
  const [first, ...more] = isBeside ? told : ["", ...told];
  return [
    `${head}  ${first}`.trimEnd(),
    ...below,
    ...more.filter((line) => line !== "").map((line) => `${" ".repeat(isBeside ? indent : 4)}${line}`),
  ];
}
