import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TestEnding, TestStep } from "./faults.ts";
import { ConnectionOver, Reader } from "./reader.ts";
import type { Log } from "./log.ts";
import type { ParsedOptions } from "./parse_options.ts";
import { encodeReply } from "./reply.ts";
import { type Action, actionOf } from "./script.ts";

/** A client's connection as its script sees it: messages in, answers with their faults out, and the log. */
export class ServerConn {
  readonly log: Log;
  readonly reader: Reader;
  readonly client: Socket;
  /** Settles when the client's socket is closed. */
  readonly closed: Promise<void>;
  /** The target's stream, from the moment it is dialed. */
  target: Duplex | undefined;
  readonly #options: ParsedOptions;
  readonly #changed: () => void;
  #unref = false;

  constructor(client: Socket, log: Log, options: ParsedOptions, changed: () => void) {
    this.client = client;
    this.log = log;
    this.#options = options;
    this.#changed = changed;
    this.closed = closed(client);
    client.once("end", () => this.endedBy("client"));
    client.on("error", () => {
      this.endedBy("client-reset");
      if (this.target) reset(this.target);
    });
    this.reader = new Reader(client, options.framing === "datagram", (chunk) => {
      log.received.push(chunk);
      changed();
    });
  }

  /** Notes in the log what happened. */
  note(news: Partial<Log>): void {
    Object.assign(this.log, news);
    this.#changed();
  }

  /** Notes who ended the connection: the first one counts. */
  endedBy(who: NonNullable<Log["endedBy"]>): void {
    this.note({ endedBy: this.log.endedBy ?? who });
  }

  /** What goes wrong at a step. */
  actionAt(at: TestStep): Action {
    return actionOf(this.#options.faults(this.log), at);
  }

  /** Answers a step rightly, or as its faults want, and gives what was sent. */
  async answer(at: TestStep, right: Uint8Array): Promise<Uint8Array> {
    this.note({ step: at });
    const action = this.actionAt(at);
    if (action.waits.length > 0) {
      await this.wait(action.waits, this.reader.gone);
      if (this.reader.isGone) throw new ConnectionOver("The client is gone");
    }
    return await this.send(action, right);
  }

  /** Sends the answer of a step and does what comes after it. */
  async send(action: Action, right: Uint8Array): Promise<Uint8Array> {
    const bytes = action.answer(right);
    if (action.bytewise) await this.#writeBytewise(bytes);
    else await this.#write(bytes);
    if (action.then) await this.end(action.then);
    return bytes;
  }

  /** Refuses the request. */
  async refuse(rep: number): Promise<never> {
    const answer = await this.answer("request", encodeReply({ rep }));
    this.note({ rep: answer[1] ?? null });
    return await this.end("close");
  }

  /** Ends the connection in that way, and the script with it once the client is gone. */
  async end(how: TestEnding): Promise<never> {
    if (how !== "silence") this.endedBy("proxy");
    if (how === "close") this.client.end();
    if (how === "reset") reset(this.client);
    await this.reader.gone;
    throw new ConnectionOver(how);
  }

  /** Waits for one after the other, but no longer than until something is over. */
  async wait(waits: Action["waits"], over: Promise<void>): Promise<void> {
    let isOver = false;
    const end = over.then(() => void (isOver = true));
    for (const wait of waits) {
      if (isOver) return;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const waited = typeof wait === "function"
        ? wait()
        : new Promise<void>((go) => timer = wait === Infinity ? undefined : setTimeout(go, wait));
      await Promise.race([waited, end]).finally(() => clearTimeout(timer));
    }
  }

  /** Takes over a target, or what may become one. */
  own(target: Duplex): void {
    this.target = target;
    if (this.#unref) unref(target);
  }

  /** Lets the process end although the connection is open. */
  unref(): void {
    this.#unref = true;
    unref(this.client);
    if (this.target) unref(this.target);
  }

  /** Closes both sockets at once, as the kernel does when a process is killed. */
  kill(): void {
    this.endedBy("proxy");
    this.client.destroy();
    this.target?.destroy();
  }

  async #writeBytewise(bytes: Uint8Array): Promise<void> {
    for (const byte of bytes) {
      await this.#write(Uint8Array.of(byte));
      // without a pause the kernel hands several segments to the client at once
      await this.wait([1], this.closed);
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0 || this.client.destroyed) return;
    const sent = new Promise<void>((resolve) => this.client.write(bytes, () => resolve()));
    await Promise.race([sent, this.closed]);
  }
}

/** Settles when a stream is closed. */
export function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => stream.closed ? resolve() : stream.once("close", () => resolve()));
}

/** Resets a connection; what knows no reset, as a unix socket, is closed. */
export function reset(stream: Duplex & Partial<Pick<Socket, "remoteAddress" | "resetAndDestroy">>): void {
  if (stream.remoteAddress === undefined) stream.destroy();
  else stream.resetAndDestroy?.();
}

function unref(stream: Duplex & Partial<Pick<Socket, "unref">>): void {
  stream.unref?.();
}
