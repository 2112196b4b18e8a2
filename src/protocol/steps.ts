/** One step of a conversation: "send these bytes, and go on when so many of the answer are there". */
export interface Step {
  /** The message, which leaves in one write; the answer to it begins anew. */
  write?: Uint8Array;
  /** So many bytes of the answer have to be there. */
  have: number;
  /** So many may be read, since it has as many in any case. Default: `have`. */
  most?: number;
}

/**
 * A conversation: yields steps, is given their answers (whose first `have` bytes count; behind them is what was read in
 * excess, and zeros), and returns what it found out.
 */
export type Steps<T> = Generator<Step, T, Uint8Array>;
