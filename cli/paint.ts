import { styleText } from "node:util";
import type { CliIo, CliOutput } from "./io.ts";

/** How a text is painted. */
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** Paints a text, or leaves it. */
export type Paint = (style: Style, text: string) => string;

/** Colors for a terminal, unless NO_COLOR is set; FORCE_COLOR has them elsewhere too. */
export function painter({ env }: Pick<CliIo, "env">, output: CliOutput): Paint {
  const forced = env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== "" && env.FORCE_COLOR !== "0";
  const colors = !env.NO_COLOR && (forced || (output.columns !== null && env.TERM !== "dumb"));
  return (style, text) => colors && text !== "" ? styleText(style, text, { validateStream: false }) : text;
}

/** `"61.2 ms"`, in seconds from ten on. */
export function duration(ms: number): string {
  return ms < 9_999.5 ? `${ms.toFixed(ms < 999.5 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** The middle one of sorted figures, or the mean of both. */
export function median(sorted: readonly number[]): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Breaks a text into lines of at most so many columns, at spaces where it can. */
export function wrap(text: string, columns: number): string[] {
  const lines = [""];
  for (const word of text.split(" ").flatMap((it) => it.match(new RegExp(`.{1,${columns}}`, "gsu")) ?? [""])) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}

/** A bar between two fractions of so many columns, exact to half a column; never without a trace. */
export function bar(from: number, to: number, columns: number): string {
  const start = Math.min(Math.round(from * columns * 2), columns * 2 - 1);
  const end = Math.max(Math.round(to * columns * 2), start + 1);
  const half = (i: number) => i >= start && i < end ? 1 : 0;
  return Array.from({ length: columns }, (_, i) => " ▌▐█"[half(2 * i) + 2 * half(2 * i + 1)]).join("");
}
