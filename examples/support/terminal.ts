import process from "node:process";
import { styleText } from "node:util";

/** How a text is painted. */
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** Columns that the output may take. */
export const WIDTH: number = Math.min(Math.max(process.stdout.columns || 100, 80), 100);

const COLOUR = process.stdout.isTTY && !process.env.NO_COLOR;

/** Colours a text, on a terminal only and unless NO_COLOR is set. */
export function paint(style: Style, text: string): string {
  return COLOUR ? styleText(style, text, { validateStream: false }) : text;
}

/** Prints a title and a sentence about what follows. */
export function heading(title: string, explanation: string): void {
  console.log(`\n${paint("bold", title)}\n${paint("dim", wrap(explanation, 0))}\n`);
}

/** Prints cells of fixed widths; one more takes what is left of the line and is wrapped. */
export function row(cells: readonly string[], widths: readonly number[], styles: readonly (Style | undefined)[]): void {
  const indent = 2 + widths.reduce((sum, width) => sum + width + 2, 0);
  const texts = cells.map((cell, i) => i < widths.length ? `${cell.padEnd(widths[i]!)}  ` : wrap(cell, indent));
  const painted = texts.map((text, i) => styles[i] === undefined ? text : paint(styles[i], text));
  console.log(`  ${painted.join("")}`.trimEnd());
}

/** `" 61.2 ms"`: 8 columns. */
export function milliseconds(ms: number): string {
  return `${ms.toFixed(1).padStart(5)} ms`;
}

/** A bar between two fractions of the width, exact to half a column; never without a trace. */
export function bar(from: number, to: number, width: number): string {
  const start = Math.min(Math.round(from * width * 2), width * 2 - 1);
  const end = Math.max(Math.round(to * width * 2), start + 1);
  const half = (i: number) => i >= start && i < end ? 1 : 0;
  return Array.from({ length: width }, (_, i) => " ▌▐█"[half(2 * i) + 2 * half(2 * i + 1)]).join("");
}

function wrap(text: string, indent: number): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && indent + line.length + 1 + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.join(`\n${" ".repeat(indent)}`);
}
