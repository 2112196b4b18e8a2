import type { Proxy } from "../config/proxy_url.ts";
import type { Address } from "../protocol/address.ts";
import { CMD, command, select, userPass } from "../protocol/messages.ts";
import type { Step, Steps } from "../protocol/steps.ts";
import type { Identity } from "./handshake.ts";

/** How long a verdict counts, in milliseconds. */
const REMEMBERED = 600_000;

/** Which proxies take all messages of the handshake in one write: some drop what comes after the first. */
export class Pipelining {
  readonly #verdicts = new WeakMap<Proxy, { works: boolean; until: number }>();

  /** Whether it works with the proxy, as far as that is known. */
  verdict(proxy: Proxy): boolean | undefined {
    const known = this.#verdicts.get(proxy);
    return known !== undefined && known.until > performance.now() ? known.works : undefined;
  }

  note(proxy: Proxy, works: boolean): void {
    this.#verdicts.set(proxy, { works, until: performance.now() + REMEMBERED });
  }
}

/** How long a proxy that took `ms` to connect may take to answer, as long as nothing is known of it. */
export function patience(ms: number): number {
  return Math.max(500, 10 * ms);
}

/** All messages of an identity that offers one method. */
export function allMessages({ methods, credentials }: Identity, target: Address): Uint8Array {
  return Uint8Array.of(
    ...messageOf(select(methods)),
    ...(credentials === null ? [] : messageOf(userPass(credentials))),
    ...messageOf(command(CMD.CONNECT, target)),
  );
}

/** The message of a conversation: it leaves in the first step. */
function messageOf(steps: Steps<unknown>): Uint8Array {
  return (steps.next().value as Step).write!;
}
