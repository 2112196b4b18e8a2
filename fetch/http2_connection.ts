import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from "node:http2";
import type { ConnDuplex } from "../adapters/duplex.ts";
import { IDLE_TIMEOUT } from "./agent.ts";
import { MAX_HEADER_BYTES } from "./hop.ts";

// The usual 64 KiB would allow 320 KiB a second over a proxy with a round trip of 200 ms
const [CONNECTION_WINDOW, STREAM_WINDOW] = [4_194_304, 1_048_576];

const OPTIONS = {
  maxHeaderListPairs: 2_000, // as node:http takes by HTTP/1.1
  settings: { enablePush: false, initialWindowSize: STREAM_WINDOW, maxHeaderListSize: MAX_HEADER_BYTES },
};

/** A connection that carries requests to one origin, side by side, by HTTP/2 (RFC 9113). */
export class Http2Connection {
  readonly #stream: ConnDuplex;
  readonly #session: ClientHttp2Session;
  readonly #left: () => void;
  #requests = 0;
  #served = 0;
  #isRetired = false;

  /** Takes a stream that is open; `left` is called once it takes no further request. */
  constructor(origin: string, stream: ConnDuplex, left: () => void) {
    this.#stream = stream;
    this.#left = left;
    const retire = () => this.retire();
    this.#session = connect(origin, { ...OPTIONS, createConnection: () => stream });
    this.#session.once("connect", () => this.#session.setLocalWindowSize?.(CONNECTION_WINDOW));
    this.#session.on("error", retire).on("close", retire);
    stream.on("close", retire);
  }

  /** The label of the proxy that it leads through. */
  get proxy(): string | undefined {
    return this.#stream.proxy;
  }

  /** Whether it serves, or served, other requests than the first. */
  get isReused(): boolean {
    return this.#served > 1;
  }

  /** Whether it is there for further requests, as far as it is known. */
  get isOpen(): boolean {
    return !this.#isRetired && !this.#session.closed && !this.#session.destroyed;
  }

  /** Whether it takes a request; if so, it is not idle any more. */
  takesRequest(): boolean {
    if (this.isOpen && (this.#requests > 0 || this.#stream.markInUse())) return true;
    this.retire();
    return false;
  }

  /** Begins a request. */
  request(fields: OutgoingHttpHeaders, isWhole: boolean): ClientHttp2Stream {
    const request = this.#session.request(fields, { endStream: isWhole });
    this.#served++;
    if (this.#requests++ === 0) {
      this.#stream.markInUse();
      this.#stream.ref().setTimeout(0);
    }
    return request.once("close", () => {
      this.#requests--;
      this.rest();
    });
  }

  /** If there is no request on it: gives way to others, ends after a while, and lets the process end. */
  rest(): void {
    if (this.#requests > 0) return;
    if (this.#isRetired) return this.#session.close();
    this.#stream.unref().setTimeout(IDLE_TIMEOUT);
    this.#stream.markIdle(() => this.#stream.destroy());
  }

  /** Takes no further request, and closes once there is none on it. */
  retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.#left();
    if (this.#requests === 0) this.#session.close();
  }
}
