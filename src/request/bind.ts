import { checkOptions, type Known } from "../arguments.ts";
import { command, type Granted } from "./command.ts";
import { type AcceptedConn, type AcceptOptions, heldError, type Socks5Binding } from "../tunnel/socks5_conn.ts";
import { explain, timedOut } from "../attempt/dial.ts";
import { drive } from "../attempt/driver.ts";
import { withAnswer } from "../attempt/foreign_answer.ts";
import { CMD, named, type Reply, type UserPass } from "../protocol/messages.ts";
import { Tunnel } from "../tunnel/tunnel.ts";
import type { RequestArgs } from "../config/arguments_of.ts";
import { Scope } from "../scope.ts";
import { milliseconds } from "../config/settings.ts";
import type { Shared } from "../shared.ts";

const ACCEPT: Known<AcceptOptions> = { signal: true, timeout: true };

/** Lets the proxy listen for a peer (RFC 1928 section 4, BIND). */
export function bind<S>(shared: Shared<S>, asked: RequestArgs): Promise<Socks5Binding<S>> {
  return command(shared, CMD.BIND, asked.address, asked, (granted) => new Binding(shared, granted, asked.credentials));
}

class Binding<S> implements Socks5Binding<S> {
  readonly address: { hostname: string; port: number };
  readonly proxy: string;
  readonly target: string;
  readonly #shared: Shared<S>;
  readonly #granted: Granted<S>;
  readonly #credentials: UserPass | null | undefined;
  #isAsked = false;
  #isAccepted = false;

  constructor(
    shared: Shared<S>,
    granted: Granted<S>,
    credentials: UserPass | null | undefined,
  ) {
    const { reply: { bound }, session: { proxy, target } } = granted;
    const isOpen = bound.hostname === "0.0.0.0" || bound.hostname === "::";
    const hostname = isOpen && "hostname" in proxy.endpoint ? proxy.endpoint.hostname : bound.hostname;
    this.address = { hostname, port: bound.port };
    this.proxy = proxy.name;
    this.target = target;
    this.#shared = shared;
    this.#granted = granted;
    this.#credentials = credentials;
  }

  async accept(options?: AcceptOptions): Promise<AcceptedConn<S>> {
    const { signal, timeout } = checkOptions("the options of accept()", options, ACCEPT);
    if (this.#isAsked) throw new TypeError(`Cannot accept from ${this.target}: accept() was called before`);
    const { alarm, settings } = this.#shared;
    const { session, place } = this.#granted;
    const ms = milliseconds("timeout", timeout, settings.timeout);
    if (session.closedBy !== undefined) throw this.#ended();
    const aim = { verb: "accept from", target: this.target };
    if (signal?.aborted) this.close();
    const scope = new Scope(alarm, signal, ms, {
      timedOut: (deadline, phase) => timedOut(deadline, ms, phase, this.proxy, aim, "for the peer to connect"),
    });
    this.#isAsked = true;
    try {
      scope.begin(Infinity).own({ close: () => place.destroy("holder") });
      scope.attempt.enter("request");
      const { bound } = await scope.run(this.#reply());
      scope.throwIfOver();
      if (session.closedBy !== undefined) throw this.#ended();
      scope.detach();
      this.#isAccepted = true;
      return new Accepted(this.#shared, this.#granted, bound);
    } catch (thrown) {
      const error = scope.ended !== undefined
        ? scope.ended.reason
        : session.closedBy !== undefined
        ? this.#ended(thrown)
        : explain(thrown, "request", session.proxy, NOBODY, aim);
      scope.end(error);
      throw error;
    }
  }

  async #reply(): Promise<Reply> {
    const { session } = this.#granted;
    try {
      return await drive(session, named());
    } catch (error) {
      throw await withAnswer(error, session, session.proxy, this.#credentials);
    }
  }

  close(): void {
    if (!this.#isAccepted) this.#granted.place.destroy("holder");
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Why there is nothing to accept any more: it was closed, or its client was. */
  #ended(cause?: unknown): unknown {
    const { closedBy } = this.#granted.session;
    return heldError(this, "accept from", closedBy === "client" ? undefined : "closed", closedBy, cause);
  }
}

// who it was is known since the first reply
const NOBODY = { credentials: null, methods: [], plugged: [] };

class Accepted<S> extends Tunnel<S> implements AcceptedConn<S> {
  readonly peer: { hostname: string; port: number };

  constructor({ secure }: Shared<S>, { session, place }: Granted<S>, peer: { hostname: string; port: number }) {
    super(session, place, { reused: false, mayRelease: false, secure });
    this.peer = peer;
  }
}
