import type { Front } from "../front/mod.ts";
import { splitHostPort } from "../src/address.ts";
import type { Socks5Conn } from "../src/connection.ts";
import type { Connects } from "./way.ts";

/** The user name and password of a front. */
export type Pass = { readonly username: string; readonly password: string };

/** A front for one fetch alone, which nobody else has the password of, and a client of the runtime that uses it. */
export class OwnFront<H extends { close(): void }> {
  readonly #connects: Connects;
  readonly #make: (front: Front, pass: Pass) => H | Promise<H>;
  readonly #failures: Map<string, { at: number; error: unknown }> = new Map();
  #failed = 0;
  #started: Promise<{ front: Front; http: H }> | undefined;
  #over: Error | undefined;

  /** `make` makes the client of the runtime; that and the front are started by the first request. */
  constructor(connects: Connects, make: (front: Front, pass: Pass) => H | Promise<H>) {
    this.#connects = connects;
    this.#make = make;
  }

  /** Starts both, the first time. */
  start(): Promise<{ front: Front; http: H }> {
    return this.#started ??= this.#start();
  }

  /** Fetches through the front; what failed behind it is the cause of the error. */
  async carry(request: Request, send: (http: H) => Promise<Response>): Promise<Response> {
    const since = this.#failed;
    try {
      return await send((await this.start()).http);
    } catch (error) {
      request.signal.throwIfAborted();
      const cause = this.#over ?? this.#failureFor(targetOf(error) ?? targetOfUrl(request.url), since);
      if (cause === undefined && error instanceof TypeError) throw error;
      throw new TypeError("fetch failed", { cause: cause ?? error });
    }
  }

  /** Ends all that goes through it, and resolves when nothing is left. */
  async close(reason: Error): Promise<void> {
    this.#over = reason;
    const started = await this.#started?.catch(() => undefined);
    started?.http.close();
    await started?.front.close();
  }

  async #start(): Promise<{ front: Front; http: H }> {
    const pass = { username: "fetch", password: crypto.randomUUID() };
    let front: Front | undefined;
    try {
      const { serveFront } = await import("../front/mod.ts");
      front = await serveFront({ connect: (...args) => this.#connect(...args) }, { credentials: pass });
      front.unref();
      return { front, http: await this.#make(front, pass) };
    } catch (error) {
      this.#started = undefined; // the next request tries again
      await front?.close();
      throw error;
    }
  }

  async #connect(...[target, options]: Parameters<Connects["connect"]>): Promise<Socks5Conn> {
    try {
      const conn = await this.#connects.connect(target, options);
      conn.unref?.(); // what keeps the process alive is the request
      return conn;
    } catch (error) {
      if (this.#failures.size >= 100) this.#failures.clear();
      this.#failures.set(String(target), { at: ++this.#failed, error });
      throw error;
    }
  }

  /** Why there was no connection to a target, if that was after the start of a request. */
  #failureFor(target: string, since: number): unknown {
    const failure = this.#failures.get(target);
    return failure !== undefined && failure.at > since ? failure.error : undefined;
  }
}

/** The target, after redirects, that an error of Bun speaks of: as the front has it, or in a URL. */
function targetOf(error: unknown): string | undefined {
  const { nextHop, path } = error as { nextHop?: string; path?: string };
  return nextHop ?? (path !== undefined && URL.canParse(path) ? targetOfUrl(path) : undefined);
}

function targetOfUrl(url: string): string {
  const { protocol, host } = new URL(url);
  const { hostname, port = protocol === "https:" ? 443 : 80 } = splitHostPort(host);
  return `${hostname}:${port}`;
}
