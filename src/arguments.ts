import { cannot, isA } from "./errors.ts";

type Names = Readonly<Record<string, true>>;

// without a prototype
const NONE: object = Object.freeze(Object.create(null));

/** The names of all options that `T` has. */
export type Known<T> = { readonly [Name in keyof T]-?: true };

/**
 * Checks an object of options: that it is one, and that all of them are known. Throws a `TypeError` that names the one
 * that is not, and the nearest that is. What is `undefined`, an option or all of them, counts as not given; what other code left in
 * `Object.prototype` counts for nothing. Gives `options`: read each of them once, since a getter may change its mind.
 *
 * @param name What the message calls it: `"pool"`, `"the options of connect()"`.
 */
export function checkOptions<T extends object>(
  name: string,
  options: T | undefined,
  known: Names,
  want = "an object",
): T {
  if (options === undefined) return NONE as T;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(cannot(name, want, options));
  }
  const unknown = unknownOption(options, known);
  if (unknown === undefined) return ownOptions(options, known);
  const meant = nearest(unknown, Object.keys(known));
  const shown = /^[a-z]\w{0,29}$/i.test(unknown) ? unknown : "an option"; // of text that was spread, for one
  const names = Object.keys(known);
  const all = names.length > 30 ? "there is no such option" : `there are ${names.join(", ")}`;
  const hint = meant === undefined ? all : `did you mean ${meant}?`;
  throw new TypeError(`Cannot use ${shown} in ${name}: ${hint}`);
}

/** The first option that is not known; one that is `undefined` was not given. */
export function unknownOption(options: object, known: Names): string | undefined {
  for (const option in options) {
    if (!Object.hasOwn(known, option) && own(options, option) !== undefined) return option;
  }
  return undefined;
}

/** The options without what `Object.prototype` has of them: nearly always `options` itself. */
export function ownOptions<T extends object>(options: T, known: Names): T {
  for (const option in known) if (option in Object.prototype) return copyOf(options, known);
  return options;
}

/** A member of an object that a caller gave; `undefined` if that has it from `Object.prototype` alone. */
export function own(from: object, name: string): unknown {
  const isInherited = name in Object.prototype && !Object.hasOwn(from, name);
  return isInherited ? undefined : (from as Record<string, unknown>)[name];
}

/** Whether it is a Uint8Array, also one of another realm. */
export function isBytes(value: unknown): value is Uint8Array {
  return isA(Uint8Array, value) && ArrayBuffer.isView(value);
}

/** Checks an option that is a boolean, or was not given. */
export function checkBoolean(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "boolean") throw new TypeError(cannot(name, "a boolean", value));
}

/** Checks an option that is a function, or was not given. */
export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "function") throw new TypeError(cannot(name, "a function", value));
}

/** Checks an option that is one of some words. */
export function choice<T extends string>(name: string, value: T, words: readonly T[]): T {
  if (words.includes(value)) return value;
  const quoted = words.map((word) => JSON.stringify(word));
  throw new TypeError(cannot(name, `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`, value));
}

/** Checks a session; throws a `TypeError` or a `RangeError`. */
export function parseSession(session: unknown, name = "session"): string | undefined {
  if (session === undefined) return undefined;
  const want = "a text of 1 to 255 bytes";
  if (typeof session !== "string") throw new TypeError(cannot(name, want, session));
  if (session === "" || new TextEncoder().encode(session).length > 255) {
    throw new RangeError(cannot(name, want, session));
  }
  return session;
}

/** The word that was probably meant: one that begins with what was written, or differs in a third of it at most. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const written = word.slice(0, 40).toLowerCase();
  const away = (it: string) => written.length > 2 && it.startsWith(written) ? 0 : distance(written, it);
  const [best] = words.map((it) => ({ it, away: away(it.toLowerCase()) })).sort((a, b) => a.away - b.away);
  return best !== undefined && best.away <= Math.ceil(written.length / 3) ? best.it : undefined;
}

function copyOf<T extends object>(options: T, known: Names): T {
  const copy: Record<string, unknown> = Object.create(null);
  for (const option of Object.keys(known)) copy[option] = own(options, option);
  return copy as T;
}

/** How many letters to add, drop or change (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + Number(letter !== b[j - 1])));
    }
    row = next;
  }
  return row.at(-1)!;
}
