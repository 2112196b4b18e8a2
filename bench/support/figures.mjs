/** The median of some numbers, with the least and the greatest; `undefined` of none. */
export function spread(values = []) {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle) - 1]) /
    2;
  return { median, min: sorted[0], max: sorted.at(-1) };
}

/** `1.08 (1.02–1.15)` */
export function show(figure, digits = 2) {
  if (figure === undefined) return "–";
  const [median, min, max] = [figure.median, figure.min, figure.max].map((
    value,
  ) => value.toFixed(digits));
  return `${median} (${min}–${max})`;
}
