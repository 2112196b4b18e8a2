import type { Fields, Hop } from "../fetch/hop.ts";
import { BufferedReader, Malformed, sourceOf } from "../serve/buffered_reader.ts";
import { carryBody } from "../serve/http/carry_body.ts";
import { parseResponse, type ResponseHead } from "../serve/http/head.ts";
import { persists } from "../serve/http/hop_by_hop.ts";
import { encodeLatin1 } from "../serve/latin1.ts";
import type { Bytes } from "../src/transport.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";

const MAX_HEAD_BYTES = 262_144; // as in Chromium
const MAX_INTERIM = 20;
const MAX_DRAIN_BYTES = 65_536;
const MAX_DRAIN_TIME = 1_000;

/** Who is told what becomes of a connection. */
export interface Keeper {
  idle(conn: HttpConn): void;
  closed(conn: HttpConn): void;
}

/** The head of an answer, whose body is still to come. */
export interface Answer {
  readonly head: ResponseHead;
  readonly conn: HttpConn;
  /** Reads what is left, so that the connection can be used again; closes it if that is much, or takes long. */
  drain(): Promise<void>;
  /** The body, as it came. What breaks off is an error, as `failure` has it; `over` is called at its end, or before. */
  body(
    failure: (error: unknown) => unknown,
    over: () => void,
  ): { stream: ReadableStream<Bytes>; fail(reason: unknown): void };
}

/** A connection that speaks HTTP/1.1 (RFC 9112), for one request after another. */
export class HttpConn {
  readonly #conn: Socks5Conn;
  readonly #keeper: Keeper;
  readonly #reader: BufferedReader;
  #isReused = false;
  #hasAnswered = false;
  #isClosed = false;
  #isSent = false;
  #isIdle = false;
  #first: Promise<number | null> | undefined;
  #fault: { readonly error: unknown } | undefined;

  constructor(conn: Socks5Conn, keeper: Keeper) {
    this.#conn = conn;
    this.#keeper = keeper;
    this.#reader = new BufferedReader(sourceOf(conn), true);
  }

  /** The label of the proxy. */
  get proxy(): string {
    return this.#conn.proxy;
  }

  /** Whether the request came to a connection that had served others just when the target closed it. */
  get cameTooLate(): boolean {
    return this.#isReused && !this.#hasAnswered && this.#fault === undefined;
  }

  /** Whether it can serve another request. */
  reuse(): boolean {
    if (this.#conn.markInUse?.() === false) this.close();
    this.#isIdle = false;
    this.#isReused = true;
    return !this.#isClosed;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#conn.close();
    this.#keeper.closed(this);
  }

  /** Sends a request, and gives the answer, which may come before all is sent. */
  async exchange(hop: Hop, fields: Fields): Promise<Answer> {
    this.#isSent = this.#hasAnswered = false;
    this.#send(hop, fields).then(() => this.#isSent = true, () => {}); // a target that takes no more may have answered
    try {
      const head = await this.#readHead(hop.method);
      return {
        head,
        conn: this,
        drain: () => this.#drain(head),
        body: (failure, over) => this.#body(head, failure, over),
      };
    } catch (error) {
      throw this.#fault === undefined ? error : this.#fault.error;
    }
  }

  async #readHead(method: string): Promise<ResponseHead> {
    const first = this.#first ?? this.#reader.peek();
    this.#first = undefined;
    if (await first === null) throw new Error("The target closed the connection before it answered");
    this.#hasAnswered = true;
    for (let interim = 0; interim < MAX_INTERIM; interim++) {
      const lines = await this.#reader.readHead(MAX_HEAD_BYTES);
      if (lines === null) throw new Malformed("the target closed the connection");
      const head = parseResponse(lines, method);
      if (head.status === 101) throw new Malformed("nobody asked for an upgrade");
      if (head.status >= 200) return head;
    }
    throw new Malformed(`there were ${MAX_INTERIM} interim responses`);
  }

  async #send({ method, url, body }: Hop, fields: Fields): Promise<void> {
    const { pathname, search, href } = url;
    const path = pathname + (search || (/\?(#|$)/.test(href) ? "?" : ""));
    const isChunked = body?.kind === "stream" && fields["content-length"] === undefined;
    const all = isChunked ? { ...fields, "transfer-encoding": "chunked" } : fields;
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join("");
    await this.#conn.write(encodeLatin1(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`));
    if (body?.kind === "bytes") return void await this.#conn.write(body.bytes);
    if (body !== null) await this.#upload(body.kind === "blob" ? body.blob.stream() : body.stream, fields, isChunked);
  }

  /** Sends a stream; what it fails with, or has too much or too little, is the error of the request. */
  async #upload(stream: ReadableStream<Uint8Array>, fields: Fields, isChunked: boolean): Promise<void> {
    const reader = stream.getReader();
    const length = Number(fields["content-length"] ?? NaN);
    let sent = 0;
    try {
      for (;;) {
        const { done, value } = await reader.read().catch((error) => this.#fail(error));
        if (done) break;
        if (!ArrayBuffer.isView(value)) {
          this.#fail(
            new TypeError(`Cannot send what the body of the request gave: not a Uint8Array but ${typeof value}`),
          );
        }
        sent += value.byteLength;
        if (sent > length) break;
        if (value.byteLength === 0) continue;
        if (isChunked) await this.#conn.write(encodeLatin1(`${value.byteLength.toString(16)}\r\n`));
        await this.#conn.write(value);
        if (isChunked) await this.#conn.write(encodeLatin1("\r\n"));
      }
      if (sent !== length && !Number.isNaN(length)) {
        const how = sent > length ? "more" : "fewer";
        this.#fail(new TypeError(`Cannot send the body of the request: it has ${how} bytes than Content-Length says`));
      }
      if (isChunked) await this.#conn.write(encodeLatin1("0\r\n\r\n"));
    } catch (error) {
      reader.cancel(error).catch(() => {});
      throw error;
    }
  }

  #fail(error: unknown): never {
    this.#fault = { error };
    this.close();
    throw error;
  }

  #body(head: ResponseHead, failure: (error: unknown) => unknown, over: () => void): ReturnType<Answer["body"]> {
    const { readable, writable } = new TransformStream<Bytes, Bytes>();
    const writer = writable.getWriter();
    let isOver = false;
    const end = () => {
      isOver = true;
      over();
    };
    const fail = (reason: unknown) => {
      if (isOver) return;
      end();
      writer.abort(reason).catch(() => {});
    };
    writer.closed.catch(() => { // canceled
      this.close();
      end();
    });
    carryBody(this.#reader, head.body, (bytes) => writer.write(bytes.slice()), MAX_HEAD_BYTES).then(() => {
      this.#free(head);
      writer.close().catch(() => {});
      end();
    }, (error) => {
      this.close();
      fail(failure(error));
    });
    return { stream: readable, fail };
  }

  async #drain(head: ResponseHead): Promise<void> {
    let left = MAX_DRAIN_BYTES;
    const timer = setTimeout(() => this.close(), MAX_DRAIN_TIME);
    try {
      await carryBody(
        this.#reader,
        head.body,
        (bytes) => (left -= bytes.length) < 0 ? Promise.reject(new Error("It is too much")) : Promise.resolve(),
        MAX_HEAD_BYTES,
      );
      this.#free(head);
    } catch {
      this.close();
    } finally {
      clearTimeout(timer);
    }
  }

  /** The answer is read: keeps the connection if it can serve another one, and closes it if the target says anything. */
  #free(head: ResponseHead): void {
    if (!this.#isSent || this.#isClosed || head.body === "close" || !persists(head) || !this.#reader.isEmpty) {
      return this.close();
    }
    this.#isIdle = true;
    this.#first = this.#reader.peek();
    const heard = () => this.#isIdle && this.close();
    this.#first.then(heard, heard);
    this.#conn.markIdle?.(() => this.close());
    this.#keeper.idle(this);
  }
}
