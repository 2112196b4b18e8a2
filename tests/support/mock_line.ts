import type { Socket } from "node:net";
import type { MockFault, MockStep } from "./mock_faults.ts";
import { ConnectionOver, Inbox } from "./mock_inbox.ts";
import type { MockConnection, MockProxyOptions } from "./mock_proxy.ts";

/** The log of a connection while it is written. */
export type Log = { -readonly [K in keyof MockConnection]: MockConnection[K] };

/** A client's connection as its script sees it: messages in, answers with their faults out, and the log. */
export class Line {
  readonly log: Log;
  readonly inbox: Inbox;
  readonly client: Socket;
  /** Settles when the client's socket is closed. */
  readonly closed: Promise<void>;
  /** The target's socket, once there is one. */
  target: Socket | undefined;
  readonly #faults: NonNullable<MockProxyOptions["faults"]>;
  readonly #changed: () => void;

  constructor(client: Socket, log: Log, options: MockProxyOptions, changed: () => void) {
    this.client = client;
    this.log = log;
    this.#faults = options.faults ?? [];
    this.#changed = changed;
    this.closed = closed(client);
    client.once("end", () => this.endedBy("client"));
    client.on("error", () => {
      this.endedBy("client-reset");
      if (this.target) reset(this.target);
    });
    this.inbox = new Inbox(client, options.framing === "datagram", (chunk) => {
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

  /** What goes wrong at a step: the connection's faults there, merged. */
  fault(at: MockStep): Partial<MockFault> {
    const found = typeof this.#faults === "function" ? this.#faults(this.log) : this.#faults[this.log.index];
    return Object.assign({}, ...[found ?? []].flat().filter((it) => [it.at].flat().includes(at)));
  }

  /** Answers a step rightly, or as its fault wants, and gives what was sent. */
  async answer(at: MockStep, right: Uint8Array): Promise<Uint8Array> {
    this.note({ step: at });
    const fault = this.fault(at);
    if (fault.wait !== undefined) {
      await this.wait(fault.wait, this.inbox.gone);
      if (this.inbox.isGone) throw new ConnectionOver("The client is gone");
    }
    return await this.say(fault, right);
  }

  /** Sends the answer of a fault and does what comes after it. */
  async say(fault: Partial<MockFault>, right: Uint8Array): Promise<Uint8Array> {
    const { answer = right, bytewise = false, then } = fault;
    const bytes = typeof answer === "function" ? answer(right) : answer;
    if (bytewise) await this.#sendBytewise(bytes);
    else await this.#send(bytes);
    if (then) await this.end(then);
    return bytes;
  }

  /** Ends the connection in that way, and the script with it once the client is gone. */
  async end(how: NonNullable<MockFault["then"]>): Promise<never> {
    if (how !== "silence") this.endedBy("proxy");
    if (how === "close") this.client.end();
    if (how === "reset") reset(this.client);
    await this.inbox.gone;
    throw new ConnectionOver(how);
  }

  /** Waits as a fault wants, but no longer than until something is over. */
  async wait(wait: NonNullable<MockFault["wait"]>, over: Promise<void>): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const waited = typeof wait === "function" ? wait() : new Promise<void>((go) => timer = setTimeout(go, wait));
    await Promise.race([waited, over]);
    clearTimeout(timer);
  }

  /** Closes both sockets at once, as the kernel does when a process is killed. */
  kill(): void {
    this.endedBy("proxy");
    this.client.destroy();
    this.target?.destroy();
  }

  async #sendBytewise(bytes: Uint8Array): Promise<void> {
    for (const byte of bytes) {
      await this.#send(Uint8Array.of(byte));
      // without a pause the kernel hands several segments to the client at once
      await this.wait(1, this.closed);
    }
  }

  async #send(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0 || this.client.destroyed) return;
    const sent = new Promise<void>((resolve) => this.client.write(bytes, () => resolve()));
    await Promise.race([sent, this.closed]);
  }
}

/** Settles when a socket is closed. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.closed ? resolve() : socket.once("close", () => resolve()));
}

/** Resets a connection; a unix socket knows no reset and is closed. */
export function reset(socket: Socket): void {
  if (socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
