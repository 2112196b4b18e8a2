const numbers = new WeakMap<object, number>();
let last = 0;

/** A text that two functions or objects share only if they are one and the same; empty for `undefined`. */
export function identity(it: object | undefined): string {
  if (it === undefined) return "";
  if (!numbers.has(it)) numbers.set(it, ++last);
  return String(numbers.get(it));
}
