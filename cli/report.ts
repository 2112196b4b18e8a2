import type { CheckReport } from "../mod.ts";
import { bar, duration, type Paint, type Style, wrap } from "./paint.ts";

/** What is known of the checks of one proxy. */
export interface View {
  readonly title: string;
  /** The steps of a check. */
  readonly phases: readonly string[];
  /** How many checks there will be. */
  readonly rounds: number;
  /** Those that are done. */
  readonly reports: readonly CheckReport[];
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

/** What a verdict means, and what helps. */
const VERDICTS: Readonly<Record<CheckReport["verdict"], string>> = {
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

type Row = { mark: Mark; name: string; figures: string[]; bar?: string; text: string };
type Mark = keyof typeof MARKS;

const MARKS = { ok: "✓", failed: "✗", skipped: "·", waiting: " ", running: "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" } as const;
const STYLES: Readonly<Record<Mark, Style>> = {
  ok: "green",
  failed: "red",
  skipped: "dim",
  waiting: "dim",
  running: "cyan",
};
const BAR = 16; // columns

function stepRows({ reports: [report], running, phases }: View, { now, columns }: Drawing): Row[] {
  if (report === undefined) return phases.map((phase) => runningRow(phase, phases, running, now));
  const wide = columns >= 100; // else the bars leave no room for the sentences
  const beside = (bar: string) => wide ? { bar: bar.padEnd(BAR) } : {};
  let at = 0;
  const rows = report.steps.map(({ phase, status, ms, message }): Row => {
    const row = { mark: status, name: phase, text: why(report, message) };
    if (status === "skipped") return { ...row, figures: [""], ...beside("") };
    const part = bar(at / report.ms, (at + ms) / report.ms, BAR);
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
    const middle = times.length >> 1;
    const median = times.length % 2 === 1 ? times[middle]! : (times[middle - 1]! + times[middle]!) / 2;
    return { mark, name: phase, figures: [times[0]!, median, times.at(-1)!].map(duration), text };
  });
  const verdicts = [...new Set(reports.map(({ verdict }) => verdict))].map((verdict): Row => {
    const count = reports.filter((report) => report.verdict === verdict).length;
    return { ...verdictRow(verdict), figures: [`${count}`, `of ${rounds}`, ""] };
  });
  return [head, ...rows, ...verdicts];
}

function verdictRow(verdict: CheckReport["verdict"]): Omit<Row, "figures"> {
  const mark = verdict === "ok" ? "ok" : "failed";
  return { mark, name: verdict, text: VERDICTS[verdict] };
}

/** A message without what the title says. */
function why({ proxy, target }: CheckReport, message: string): string {
  const told = target === null ? `Cannot use the proxy ${proxy}: ` : `Cannot connect to ${target} through ${proxy}: `;
  return message.startsWith(told) ? message.slice(told.length) : message;
}

function lay({ mark, name, figures, bar, text }: Row, { paint, columns, now }: Drawing): string[] {
  const signs = MARKS[mark];
  const sign = signs[Math.floor(now / 80) % signs.length]!;
  const cells = figures.map((figure) => figure.padStart(10)).join("");
  const isVerdict = name in VERDICTS;
  const left = `  ${paint(STYLES[mark], sign)} ${paint(isVerdict ? STYLES[mark] : "cyan", name)}${
    " ".repeat(NAME - name.length)
  }${cells}`;
  const drawn = bar === undefined ? "" : `  ${paint("green", bar)}`;
  const indent = 4 + NAME + 10 * figures.length + (bar === undefined ? 0 : 2 + BAR) + 2;
  const shade: Style | undefined = mark === "failed" ? "red" : "dim";
  const room = columns - 1 - indent;
  const [first, ...more] = room >= 20 ? wrap(text, room) : ["", ...wrap(text, columns - 1 - 4)];
  return [
    `${left}${drawn}  ${paint(shade, first!)}`.trimEnd(),
    ...more.filter((line) => line !== "").map((line) => `${" ".repeat(room >= 20 ? indent : 4)}${paint(shade, line)}`),
  ];
}
