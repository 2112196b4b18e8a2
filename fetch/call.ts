import { socks5Error, socks5ErrorIn } from "../src/errors.ts";
import { cancelBody } from "./request_body.ts";

/** A call from its start to the end of its body: the caller's signal ends it, and so does closing the fetch. */
export class Call {
  /** Ends the step that is under way. */
  stop: ((reason: unknown) => void) | undefined;
  /** Why it was ended from outside. */
  over: { readonly reason: unknown } | undefined;
  readonly #calls: Set<Call>;
  readonly #signal: AbortSignal | null;
  readonly #aborted = (): void => this.end(this.#signal!.reason);

  constructor(calls: Set<Call>, signal: AbortSignal | null) {
    this.#calls = calls;
    this.#signal = signal;
    calls.add(this);
    if (signal?.aborted) this.#aborted();
    else signal?.addEventListener("abort", this.#aborted);
  }

  /** Ends it from outside; later calls do nothing. */
  end(reason: unknown): void {
    if (!this.#calls.has(this)) return;
    this.over = { reason };
    this.done();
    this.stop?.(reason);
  }

  /** Throws the reason if it was ended from outside, or if its signal aborted after that. */
  throwIfOver(): void {
    if (this.over !== undefined) throw this.over.reason;
    if (this.#signal?.aborted) throw this.#signal.reason;
  }

  /** Says that nothing of it is left. */
  done(): void {
    this.#calls.delete(this);
    this.#signal?.removeEventListener("abort", this.#aborted);
  }

  /** Ends it because it failed before there was a response; gives what the caller is told. */
  failed(error: unknown, body: Parameters<typeof cancelBody>[0]): unknown {
    const failure = this.failure("fetch failed", error);
    this.stop?.(failure);
    this.done();
    cancelBody(body, failure);
    return failure;
  }

  /** What the caller is told of an error: the reason as it is, or a `TypeError` as the standard wants it. */
  failure(message: string, error: unknown): unknown {
    if (this.over !== undefined) return this.over.reason;
    return error instanceof TypeError ? error : new TypeError(message, { cause: socks5ErrorIn(error) ?? error });
  }
}

/** The error of calls of a fetch that was closed. */
export function fetchClosed(): TypeError {
  const cause = socks5Error("SOCKS5_CLIENT_CLOSED", "Cannot fetch: the fetch was closed", { phase: "pool" });
  return new TypeError("fetch failed", { cause });
}
