import type { CliOutput } from "./io.ts";

/** How many columns a line has; what is no terminal breaks none. */
export function columnsOf({ columns }: CliOutput): number {
  return Math.max(columns ?? 1000, 20);
}

/** Draws lines over what it drew before, again and again while it is at work. */
export class Live {
  readonly #output: CliOutput;
  readonly #lines: (columns: number) => string[];
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #height = 0;
  /** What is to stand above the lines. */
  #above = "";
  #drawing: Promise<void> = Promise.resolve();

  /** Begins at once, if the output is a terminal. */
  constructor(output: CliOutput, lines: (columns: number) => string[]) {
    this.#output = output;
    this.#lines = lines;
    // at intervals alone: what is drawn in between would count as time of what is measured
    if (output.columns !== null) this.#timer = setInterval(() => this.#next(lines), 80);
  }

  /** Prints a text that stays, above what is drawn. */
  async print(text: string): Promise<void> {
    if (this.#timer === undefined) return await this.#output.write(text);
    this.#above += text;
  }

  /** Draws for the last time: where it is no terminal, if there is something to show. */
  async end(isDone: boolean): Promise<void> {
    clearInterval(this.#timer);
    await this.#drawing;
    if (isDone || this.#timer !== undefined) await this.#draw(this.#lines);
  }

  /** Leaves nothing but what was printed. */
  async clear(): Promise<void> {
    clearInterval(this.#timer);
    await this.#drawing;
    if (this.#timer !== undefined) await this.#draw(() => []);
  }

  #next(lines: (columns: number) => string[]): void {
    // a terminal that is gone is found out at the end
    this.#drawing = this.#drawing.then(() => this.#draw(lines)).catch(() => {});
  }

  #draw(lines: (columns: number) => string[]): Promise<void> {
    const drawn = lines(columnsOf(this.#output));
    const back = this.#height > 0 ? `\x1b[${this.#height}A\x1b[J` : "";
    const text = `${back}${this.#above}${drawn.map((line) => `${line}\n`).join("")}`;
    this.#height = drawn.length;
    this.#above = "";
    return text === "" ? Promise.resolve() : this.#output.write(text);
  }
}
