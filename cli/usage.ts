import { parseArgs } from "node:util";
import { UsageError } from "./outcome.ts";

/** The options of a command: `"flag"` takes no value. */
export type OptionKinds = Readonly<Record<string, "flag" | "value">>;

/** What a command was given. */
export interface Given {
  readonly command: string;
  readonly positionals: readonly string[];
  /** What stands behind `--`, of a command that runs a program. */
  readonly program?: readonly string[];
  has(flag: string): boolean;
  value(option: string): string | undefined;
  /** A whole number from `least`. */
  number(option: string, least: number): number | undefined;
}

/** Reads the arguments of a command; throws a `UsageError` that shows no value and names what may have been meant. */
export function given(command: string, args: readonly string[], kinds: OptionKinds): Given {
  const options = Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => [name, { type: kind === "flag" ? "boolean" : "string" } as const]),
  );
  // not strict, since each runtime has words of its own for what is wrong
  const { tokens, positionals } = parseArgs({ args: [...args], options, strict: false, tokens: true });
  const found = new Map<string, string>();
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const { name, rawName, value } = token;
    const wrong = (why: string) => new UsageError(`${rawName} ${why}`, command);
    if (!Object.hasOwn(kinds, name)) {
      const shown = /^-{1,2}[\w-]{1,30}$/.test(rawName) ? `option ${rawName}` : "option";
      throw new UsageError(`unknown ${shown}${nearest(rawName, Object.keys(kinds).map((it) => `--${it}`))}`, command);
    }
    if (kinds[name] === "flag" && value !== undefined) throw wrong("takes no value");
    if (kinds[name] === "value" && value === undefined) throw wrong("needs a value");
    found.set(name, value ?? "");
  }
  return {
    command,
    positionals,
    has: (flag) => found.has(flag),
    value: (option) => found.get(option),
    number(option, least) {
      const text = found.get(option);
      if (text === undefined) return undefined;
      const number = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
      if (!(number >= least)) throw new UsageError(`--${option} takes a whole number from ${least}`, command);
      return number;
    },
  };
}

/** `; did you mean …?`, or nothing if no word is near. */
export function nearest(word: string, words: readonly string[]): string {
  const [best] = words.map((it) => ({ it, away: distance(word, it) })).sort((a, b) => a.away - b.away);
  return best !== undefined && best.away <= Math.ceil(word.length / 3) ? `; did you mean ${best.it}?` : "";
}

/** How many letters to add, drop or change (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, letter] of [...a.slice(0, 40)].entries()) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + Number(letter !== b[j - 1])));
    }
    row = next;
  }
  return row.at(-1)!;
}
