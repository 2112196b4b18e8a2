import { spread } from "./figures.mjs";

/** What was measured on the runtimes, row by row and round by round, and why a row is missing. */
export class Samples {
  values = {};
  failures = {};

  /** Adds to the value of a round. */
  add(runtime, row, round, value, what = "") {
    const values = this.values[key(runtime, row, what)] ??= [];
    values[round] = (values[round] ?? 0) + value;
  }

  fail(runtime, row, error) {
    this.failures[key(runtime, row)] = error.message;
  }

  /** The values of a row, one a round; `undefined` if it failed or was not measured. */
  of(runtime, row, what = "") {
    return this.failures[key(runtime, row)] ? undefined : this.values[key(runtime, row, what)];
  }

  /** Median, least and greatest of a row. */
  spread(runtime, row, what) {
    return spread(this.of(runtime, row, what));
  }

  /** Each round of a row over the same round of another. */
  ratio(runtime, row, base, what) {
    const [values, bases] = [row, base].map((row) => this.of(runtime, row, what));
    return values && bases &&
      spread(values.map((value, round) => value / bases[round]));
  }
}

function key(runtime, row, what = "") {
  return [runtime, row.name, what].filter((word) => word !== "").join(", ");
}
