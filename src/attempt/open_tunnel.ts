import type { Address } from "../protocol/address.ts";
import { authenticate } from "./authenticate.ts";
import { allMessages, certain, dial, type Dialer, type Identity, negotiate } from "./dial.ts";
import { drive, sent } from "./driver.ts";
import { ProtocolError } from "../errors.ts";
import { withAnswer } from "./foreign_answer.ts";
import { CMD, type Reply, request } from "../protocol/messages.ts";
import type { Progress, Try } from "../request/call.ts";
import type { NumberedAddress, TargetAddresses } from "./target_addresses.ts";
import type { Seat } from "../request/race.ts";
import type { Settings } from "../config/settings.ts";
import type { ConnectArgs } from "../config/arguments_of.ts";
import { patience, type Pipelining } from "./pipelining.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { Attempt, Scope } from "../scope.ts";
import { secure } from "../tunnel/upgrade_tls.ts";
import { ProxyConn, settle } from "../tunnel/proxy_conn.ts";
import type { Steps } from "../transport.ts";

/** What opening takes. */
export interface Tools<S> {
  readonly settings: Settings;
  readonly dialer: Dialer<S>;
  readonly pipelining: Pipelining;
}

/** What a request wants. */
export interface Order<S> {
  readonly cmd: number;
  readonly target: string | null;
  readonly address: Address;
  /** The first bytes for the target, which leave with the request, and TLS with it. */
  readonly wish: Pick<ConnectArgs, "data" | "tls">;
  /** The addresses of the target, if this machine looks them up. */
  readonly names: TargetAddresses | undefined;
  /** A session that was ready, once. */
  takeSession(): ProxyConn<S> | undefined;
  /** Whether they are on their way: whatever fails from then on is final. */
  committed: boolean;
}

/** One attempt at a proxy. What it opens the attempt of its scope owns. */
export class Opening<S, P extends Seat = Seat> implements Try<ProxyConn<S>> {
  readonly seat: P;
  readonly proxy: Proxy;
  readonly identity: Identity;
  readonly number: number;
  /** How many milliseconds it has. */
  readonly limit: number;
  isOvertaken: boolean = false;
  /** The address that it asks for, if this machine has looked it up. */
  found: NumberedAddress | undefined;
  opened!: Promise<ProxyConn<S>>;
  readonly #order: Order<S>;
  readonly #tools: Tools<S>;
  readonly #progress: Progress;

  constructor(
    order: Order<S>,
    tools: Tools<S>,
    seat: P,
    proxy: Proxy,
    identity: Identity,
    progress: Progress,
    limit: number,
  ) {
    this.seat = seat;
    this.proxy = proxy;
    this.identity = identity;
    this.number = progress.attempts;
    this.limit = limit;
    this.#order = order;
    this.#tools = tools;
    this.#progress = progress;
  }

  start(): void {
    const { names } = this.#order;
    this.opened = names === undefined ? this.#start() : this.#startNamed(names);
  }

  get #scope(): Scope {
    return this.seat.scope;
  }

  async #startNamed(names: TargetAddresses): Promise<ProxyConn<S>> {
    this.found = await names.take(this.proxy, this.#scope, this.#tools.dialer.transport, this.limit);
    return await this.#start();
  }

  /** A tunnel, with TLS if it is wanted; over the session that was ready, if there was one. */
  #start(): Promise<ProxyConn<S>> {
    const { tls } = this.#order.wish;
    const session = this.#order.takeSession();
    const opening = session === undefined ? this.#open() : this.#spend(session);
    return tls === null ? opening : secure(this.#scope, opening, tls, this.#tools.dialer.startTls);
  }

  /** A tunnel over a new connection. */
  #open(): Promise<ProxyConn<S>> {
    const { settings, pipelining } = this.#tools;
    const { plugged } = this.identity; // what they say depends on what is answered
    const isPipelined = settings.handshake === "pipelined" && this.#order.cmd === CMD.CONNECT && plugged.length === 0 &&
      pipelining.verdict(this.proxy) !== false;
    return isPipelined ? this.#openAtOnce() : this.#openInSequence();
  }

  /** A tunnel over a session that was ready; one that has died is replaced, unless bytes of the caller were on it. */
  async #spend(session: ProxyConn<S>): Promise<ProxyConn<S>> {
    const { wish: { data } } = this.#order;
    const scope = this.#scope;
    scope.attempt.own(session);
    try {
      if (data !== undefined) await scope.run(settle()); // what is written on a dead one is lost
      const asking = session.readable ? undefined : drive(session, this.#request(scope.attempt, data));
      if (asking !== undefined) return this.#bind(session, await scope.run(asking));
    } catch (error) {
      const isReply = error instanceof ProtocolError && error.code !== "SOCKS5_PROXY_HUNG_UP";
      if (isReply || error instanceof TypeError || scope.ended !== undefined || this.#order.committed) {
        throw await scope.run(this.#heard(error, session));
      }
    }
    scope.begin(this.limit);
    return await this.#open();
  }

  #openInSequence(): Promise<ProxyConn<S>> {
    return this.#scope.run(this.#inSequence(this.#scope.attempt));
  }

  /** In one write; in sequence on a new connection if anything but a whole reply comes of it. */
  async #openAtOnce(): Promise<ProxyConn<S>> {
    const scope = this.#scope;
    try {
      const session = await scope.run(this.#atOnce(scope.attempt));
      this.#note(true);
      return session;
    } catch (error) {
      if (isRefusal(error)) this.#note(true);
      const isSent = scope.attempt.phase !== "dial";
      if (isRefusal(error) || scope.isOver || this.#order.committed || !isSent) throw error;
    }
    scope.begin(this.limit);
    try {
      const session = await this.#openInSequence();
      this.#note(false);
      return session;
    } catch (error) {
      if (isRefusal(error)) this.#note(false);
      throw error;
    }
  }

  async #inSequence(attempt: Attempt): Promise<ProxyConn<S>> {
    const { data } = this.#order.wish;
    const session = new ProxyConn(await dial(attempt, this.#tools.dialer, this.proxy), this.proxy);
    if (this.identity.plugged.length > 0) {
      session.conn = await authenticate(attempt, session.conn, this.proxy, this.identity);
    }
    const steps = this.identity.plugged.length === 0
      ? this.#handshake(attempt, this.identity, data)
      : this.#request(attempt, data);
    try {
      return this.#bind(session, await drive(session.conn, steps));
    } catch (error) {
      throw await this.#heard(error, session);
    }
  }

  async #atOnce(attempt: Attempt): Promise<ProxyConn<S>> {
    const { wish: { data } } = this.#order;
    const scope = this.#scope;
    const identity = certain(this.identity);
    const begun = performance.now();
    const session = new ProxyConn(await dial(attempt, this.#tools.dialer, this.proxy), this.proxy);
    const now = performance.now();
    const isProven = this.#tools.pipelining.verdict(this.proxy) === true;
    if (!isProven) scope.extend(Math.min(patience(now - begun), scope.deadline - now));
    attempt.enter("request"); // it leaves with the greeting, whose answer is the first
    attempt.enter("negotiate");
    await session.write(allMessages(identity, this.#address));
    try {
      this.#bind(session, await drive(sent(session.conn), this.#handshake(attempt, identity, undefined, isProven)));
    } catch (error) {
      throw await this.#heard(error, session);
    }
    if (data === undefined) return session;
    attempt.enter("transfer");
    this.#order.committed = true;
    await session.write(data);
    return session;
  }

  #heard(error: unknown, session: ProxyConn<S>): Promise<unknown> {
    return withAnswer(error, session, this.proxy, this.identity.credentials);
  }

  *#handshake(attempt: Attempt, identity: Identity, data?: Uint8Array, isPatient = true): Steps<Reply> {
    yield* negotiate(attempt, identity);
    return yield* this.#request(attempt, data, isPatient);
  }

  *#request(attempt: Attempt, data?: Uint8Array, isPatient = true): Steps<Reply> {
    attempt.enter("request");
    if (data !== undefined) this.#order.committed = true;
    const isLast = this.#progress.isLast && (this.found === undefined || this.#order.names!.isLast(this.found));
    if ((isLast || this.#order.committed) && isPatient) this.#scope.extend(Infinity);
    return yield* request(this.#order.cmd, this.#address, data);
  }

  get #address(): Address {
    return this.found?.address ?? this.#order.address;
  }

  #bind(session: ProxyConn<S>, reply: Reply): ProxyConn<S> {
    session.bind(this.#order.target ?? "", reply, this.#tools.settings.maxLifetime);
    return session;
  }

  #note(works: boolean): void {
    this.#tools.pipelining.note(this.proxy, works);
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof ProtocolError && error.rep !== null;
}
