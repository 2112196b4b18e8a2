import type { Proxy } from "../config/proxy_url.ts";
import type { ProxyState } from "./proxy_state.ts";

/** For how many sessions it is remembered which proxies they prefer, and how many proxies of each. */
const [MOST, PREFERRED] = [10_000, 8];

/**
 * Which proxies a session prefers: rendezvous hashing (Thaler and Ravishankar, 1998). Each proxy has a score for the
 * session, from hashes of both alone, and the highest wins: two machines with the same list agree, and a proxy that goes
 * moves its own sessions and no others. The hashes must never change.
 */
export class Sessions {
  #preferred = new Map<string, readonly ProxyState[]>();
  #states: readonly ProxyState[] = [];
  /** Two words of hash for each proxy. */
  #hashes = new Int32Array(0);

  /** The list is another one. */
  reset(states: readonly ProxyState[]): void {
    this.#states = states;
    this.#preferred.clear();
    this.#hashes = new Int32Array(0);
  }

  /** The proxies that a session prefers most, the first one first. */
  preferredBy(session: string): readonly ProxyState[] {
    const known = this.#preferred.get(session);
    if (known !== undefined) this.#preferred.delete(session); // the least recently used are first
    const states = known ?? this.#rank(session);
    this.#preferred.set(session, states);
    if (this.#preferred.size > MOST) this.#preferred.delete(this.#preferred.keys().next().value!);
    return states;
  }

  /** The one that a session prefers among those that will do; goes through all of them. */
  bestFor(session: string, willDo: (state: ProxyState) => boolean): ProxyState | undefined {
    let best: ProxyState | undefined;
    let most = -1;
    this.#score(session, (state, score) => {
      if (score <= most || !willDo(state)) return;
      best = state;
      most = score;
    });
    return best;
  }

  #rank(session: string): readonly ProxyState[] {
    const best: { state: ProxyState; score: number }[] = [];
    this.#score(session, (state, score) => {
      if (best.length === PREFERRED && score <= best[PREFERRED - 1]!.score) return;
      const place = best.findIndex((other) => other.score < score);
      best.splice(place < 0 ? best.length : place, 0, { state, score });
      best.length = Math.min(best.length, PREFERRED);
    });
    return best.map(({ state }) => state);
  }

  #score(session: string, each: (state: ProxyState, score: number) => void): void {
    if (this.#hashes.length === 0) {
      this.#hashes = Int32Array.from(this.#states.flatMap(({ proxy }) => hash(identityOf(proxy))));
    }
    const own = hash(session);
    this.#states.forEach((state, index) => {
      const { weight } = state.proxy;
      if (weight > 0) each(state, score(own, [this.#hashes[2 * index]!, this.#hashes[2 * index + 1]!], weight));
    });
  }
}

/** What the sessions of a proxy depend on: the label that it was given, else its address and user name. */
function identityOf({ label, key }: Proxy): string {
  return label ?? key;
}

/**
 * The score of a proxy for a session, by the hashes of both: `-weight / ln(h)`, where `h` is a fraction with 52 bits, more
 * than 0 and less than 1, of the hashes' words, combined with XOR and mixed once more. docs/design.md writes it down.
 */
export function score(a: readonly [number, number], b: readonly [number, number], weight: number): number {
  const high = mix(a[0] ^ b[0]) >>> 0;
  const low = mix(a[1] ^ b[1]) >>> 12;
  return -weight / Math.log((high * 2 ** 20 + low + 0.5) / 2 ** 52);
}

/** MurmurHash3 (x86, 32 bits) of the text in UTF-8, with the seeds 0 and 1. */
export function hash(text: string): [number, number] {
  const bytes = new TextEncoder().encode(text);
  return [murmur3(bytes, 0), murmur3(bytes, 1)];
}

/** MurmurHash3 (x86, 32 bits) as a signed number. */
export function murmur3(bytes: Uint8Array, seed: number): number {
  let h = seed;
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    const word = bytes[i]! | bytes[i + 1]! << 8 | bytes[i + 2]! << 16 | bytes[i + 3]! << 24;
    h ^= scramble(word);
    h = Math.imul(h << 13 | h >>> 19, 5) + 0xe6546b64 | 0;
  }
  let tail = 0;
  for (let i = bytes.length - 1; i >= whole; i--) tail = tail << 8 | bytes[i]!;
  return mix(h ^ (bytes.length > whole ? scramble(tail) : 0) ^ bytes.length);
}

function scramble(word: number): number {
  const k = Math.imul(word, 0xcc9e2d51);
  return Math.imul(k << 15 | k >>> 17, 0x1b873593);
}

function mix(h: number): number {
  h = Math.imul(h ^ h >>> 16, 0x85ebca6b);
  h = Math.imul(h ^ h >>> 13, 0xc2b2ae35);
  return h ^ h >>> 16;
}
