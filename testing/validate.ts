import { cannot } from "../src/errors.ts";

/** A whole number from 0. */
export function whole(name: string, value: number, max = 255): number {
  const want = `a whole number from 0 to ${max}`;
  if (typeof value !== "number") throw new TypeError(cannot(name, want, value));
  if (!(Number.isInteger(value) && value >= 0 && value <= max)) throw new RangeError(cannot(name, want, value));
  return value;
}
