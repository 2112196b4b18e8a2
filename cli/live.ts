import type { CliOutput } from "./io.ts";

/** Draws lines over what it drew before, again and again while it is at work. */
export class Live {
  readonly #output: CliOutput;
  readonly #lines: () => string[];
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #height = 0;
  #drawing: Promise<void> = Promise.resolve();

  /** Begins at once, if the output is a terminal. */
  constructor(output: CliOutput, lines: () => string[]) {
    this.#output = output;
    this.#lines = lines;
    if (output.columns !== null) this.#timer = setInterval(() => this.draw(), 80);
  }

  /** Draws now, on a terminal. */
  draw(): void {
    if (this.#timer === undefined) return;
    // a terminal that is gone is found out at the end
    this.#drawing = this.#drawing.then(() => this.#draw()).catch(() => {});
  }

  /** Draws for the last time: where it is no terminal, if there is something to show. */
  async end(isDone: boolean): Promise<void> {
    clearInterval(this.#timer);
    await this.#drawing;
    if (isDone || this.#timer !== undefined) await this.#draw();
  }

  #draw(): Promise<void> {
    const lines = this.#lines();
    const back = this.#height > 0 ? `\x1b[${this.#height}A\x1b[J` : "";
    this.#height = lines.length;
    return this.#output.write(`${back}${lines.join("\n")}\n`);
  }
}
