import { checkOptions, type Known } from "../arguments.ts";
import { converse } from "../attempt/converse.ts";
import { explain } from "../attempt/explain.ts";
import { NOBODY } from "../attempt/handshake.ts";
import type { RequestArgs } from "../config/request_args.ts";
import { milliseconds } from "../config/settings.ts";
import { timedOut } from "../errors.ts";
import { CMD, named } from "../protocol/messages.ts";
import { Scope } from "../scope.ts";
import type { AcceptedConn, AcceptOptions, Socks5Binding } from "../tunnel/socks5_conn.ts";
import { Tunnel } from "../tunnel/tunnel.ts";
import { tunnelError } from "../tunnel/tunnel_error.ts";
import type { Core } from "./core.ts";
import { type Granted, request } from "./request.ts";

const ACCEPT: Known<AcceptOptions> = { signal: true, timeout: true };

/** Lets the proxy listen for a peer (RFC 1928 section 4, BIND). */
export function bind<S>(core: Core<S>, args: RequestArgs): Promise<Socks5Binding<S>> {
  return request(core, CMD.BIND, args, (granted) => new Binding(core, granted, args));
}

class Binding<S> implements Socks5Binding<S> {
  readonly address: { hostname: string; port: number };
  readonly proxy: string;
  readonly target: string;
  readonly #core: Core<S>;
  readonly #granted: Granted<S>;
  readonly #args: RequestArgs;
  #isAsked = false;
  #isAccepted = false;

  constructor(core: Core<S>, granted: Granted<S>, args: RequestArgs) {
    const { proxy, reply, target } = granted.conn;
    const { bound } = reply!;
    const isOpen = bound.hostname === "0.0.0.0" || bound.hostname === "::";
    const hostname = isOpen && "hostname" in proxy.endpoint ? proxy.endpoint.hostname : bound.hostname;
    this.address = { hostname, port: bound.port };
    this.proxy = proxy.name;
    this.target = target;
    this.#core = core;
    this.#granted = granted;
    this.#args = args;
  }

  async accept(options?: AcceptOptions): Promise<AcceptedConn<S>> {
    const { signal, timeout } = checkOptions("the options of accept()", options, ACCEPT);
    if (this.#isAsked) throw new TypeError(`Cannot accept from ${this.target}: accept() was called before`);
    const { timer, settings } = this.#core;
    const { conn, lease } = this.#granted;
    const ms = milliseconds("timeout", timeout, settings.timeout);
    if (conn.closedBy !== undefined) throw this.#ended();
    const aim = { verb: "accept from", target: this.target };
    if (signal?.aborted) this.close();
    const scope = new Scope(timer, signal, ms, (deadline, phase) => {
      return timedOut(deadline, ms, phase, this.proxy, aim, "for the peer to connect");
    });
    this.#isAsked = true;
    try {
      scope.begin(Infinity).own({ close: () => lease.destroy("holder") });
      scope.attempt.enter("request");
      const { bound } = await scope.run(converse(conn, named(), [conn.proxy.credentials, this.#args.credentials]));
      scope.throwIfEnded();
      if (conn.closedBy !== undefined) throw this.#ended();
      scope.detach();
      this.#isAccepted = true;
      return new Accepted(this.#core, this.#granted, bound);
    } catch (thrown) {
      const error = scope.ended !== undefined
        ? scope.ended.reason
        : conn.closedBy !== undefined
        ? this.#ended(thrown)
        : explain(thrown, "request", conn.proxy, NOBODY, aim);
      scope.end(error);
      throw error;
    }
  }

  close(): void {
    if (!this.#isAccepted) this.#granted.lease.destroy("holder");
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Why there is nothing to accept any more: it was closed, or its client was. */
  #ended(cause?: unknown): unknown {
    const { closedBy } = this.#granted.conn;
    return tunnelError(this, "accept from", closedBy === "client" ? undefined : "closed", closedBy, cause);
  }
}

class Accepted<S> extends Tunnel<S> implements AcceptedConn<S> {
  readonly peer: { hostname: string; port: number };

  constructor(core: Core<S>, { conn, lease }: Granted<S>, peer: { hostname: string; port: number }) {
    super(conn, lease, core, false, false);
    this.peer = peer;
  }
}
