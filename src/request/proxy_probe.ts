import { converse, type Wire } from "../attempt/converse.ts";
import { explain } from "../attempt/explain.ts";
import { type Dialer, type Identity, openProxyConn } from "../attempt/handshake.ts";
import { lookUp } from "../attempt/local_dns.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { CheckArgs } from "../config/request_args.ts";
import { type Phase, ProtocolError, Socks5Error } from "../errors.ts";
import { type Address, ATYP } from "../protocol/address.ts";
import { CMD, command } from "../protocol/messages.ts";
import { ruleFor } from "../proxies/policy.ts";
import type { AttemptScope, Scope } from "../scope.ts";
import { startTls } from "../tunnel/start_tls.ts";

/** How long a target that speaks first is waited for, in milliseconds. */
export const FIRST_BYTE = 1_000;

/** All that is tried with one proxy in a check, on connections of its own. */
export class ProxyProbe {
  /** When each step began; of the steps that are taken for each address of a target, those for the last one. */
  readonly entered: Map<Phase, number> = new Map();
  readonly identity: Identity;
  readonly #scope: Scope;
  readonly #dialer: Dialer<unknown>;
  readonly #proxy: Proxy;
  readonly #args: CheckArgs;

  constructor(scope: Scope, dialer: Dialer<unknown>, proxy: Proxy, identity: Identity, args: CheckArgs) {
    this.#scope = scope;
    this.#dialer = dialer;
    this.#proxy = proxy;
    this.#args = args;
    this.identity = identity;
    scope.onPhase = (phase) => this.#enter(phase);
  }

  /** The failure; throws only what is the caller's. */
  async run(): Promise<Socks5Error | undefined> {
    let failure: Socks5Error | undefined;
    try {
      for (let left = await this.#addresses(); left.length > 0; left = left.slice(1)) {
        failure = await this.#reach(left[0]!, left.length === 1);
        if (failure === undefined || this.#scope.isOver || !ruleFor(failure, false).address) break;
      }
    } catch (error) {
      failure = this.#failure(error);
    } finally {
      this.#scope.end(failure);
    }
    return failure;
  }

  async #addresses(): Promise<readonly (Address | null)[]> {
    const { address } = this.#args;
    if (this.#dialer.settings.dns === "proxy" || address?.atyp !== ATYP.DOMAIN) return [address];
    return await this.#scope.run(lookUp(this.#scope.begin(Infinity), this.#dialer.transport, address));
  }

  async #reach(address: Address | null, isLast: boolean): Promise<Socks5Error | undefined> {
    try {
      await this.#scope.run(this.#steps(this.#scope.begin(this.#dialer.settings.attemptTimeout), address, isLast));
      return undefined;
    } catch (error) {
      return this.#failure(error);
    }
  }

  async #steps(attempt: AttemptScope, address: Address | null, isLast: boolean): Promise<void> {
    const { probe, tls } = this.#args;
    let { conn } = await openProxyConn(attempt, this.#dialer, this.#proxy, this.identity);
    if (address === null) return;
    attempt.enter("request");
    if (isLast) this.#scope.extend(Infinity);
    await converse(conn, command(CMD.CONNECT, address), this.identity.secrets);
    if (tls !== null) {
      attempt.enter("tls");
      this.#scope.extend(Infinity);
      conn = attempt.own(await startTls(conn, tls, this.#dialer.startTls, "target"));
      if (probe === undefined) return; // the handshake has proved it
    }
    attempt.enter("transfer");
    this.#scope.extend(probe === undefined ? FIRST_BYTE : this.#dialer.settings.attemptTimeout);
    await firstByte(conn, probe);
  }

  #enter(phase: Phase): void {
    if (phase === "dial") {
      for (const step of this.entered.keys()) {
        if (step !== "lookup") this.entered.delete(step);
      }
    }
    this.entered.set(phase, performance.now());
    try {
      this.#args.onStep?.({ proxy: this.#proxy.name, phase: phase as Exclude<Phase, "pool"> });
    } catch {
      // a fault of the listener is none of the check
    }
  }

  #failure(error: unknown): Socks5Error {
    const { ended, aborted, attempt } = this.#scope;
    const explained = () => explain(error, attempt.phase, this.#proxy, this.identity, this.#args);
    const reason = ended === undefined ? explained() : ended.reason;
    if (aborted || !(reason instanceof Socks5Error)) throw reason;
    return reason;
  }
}

async function firstByte(wire: Wire, probe: Uint8Array | undefined): Promise<void> {
  if (probe !== undefined) await wire.write(probe);
  if (await wire.read(new Uint8Array(1)) === null) {
    throw new ProtocolError("SOCKS5_CONN_CLOSED", "the tunnel was closed before a byte came");
  }
}
