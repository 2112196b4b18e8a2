import type { FleetEventDetails } from "../events.ts";
import type { Listed } from "./candidates.ts";
import { Remainder } from "./number_tree.ts";
import type { ProxyState } from "./proxy_state.ts";
import type { Roster } from "./roster.ts";

/** The proxies that are suspended for some targets, by the host name that those have or are below. */
export class HostBans {
  readonly #tell: (event: FleetEventDetails) => void;
  #bans = new Map<string, HostBan>();

  constructor(tell: (event: FleetEventDetails) => void) {
    this.#tell = tell;
  }

  /** The list, less those that are suspended for the host name of a target. */
  listFor(hostname: string, roster: Roster): Listed {
    let list: Listed = roster;
    if (this.#bans.size === 0) return list;
    const now = performance.now();
    for (let name = hostname; name !== ""; name = parentOf(name)) {
      const ban = this.#bans.get(name);
      if (ban === undefined) continue;
      for (const state of ban.resume(now)) this.#resumed(state, name, ban);
      if (ban.size > 0 && ban.size < list.size) list = ban; // all of them: each is as good as another
    }
    return list;
  }

  suspend(state: ProxyState, hostname: string, until: number, roster: Roster): void {
    let ban = this.#bans.get(hostname);
    if (ban === undefined) this.#bans.set(hostname, ban = new HostBan(roster));
    ban.add(state, until);
  }

  /** Puts one back. */
  resume(state: ProxyState, hostname: string): void {
    const ban = this.#bans.get(hostname);
    if (ban?.remove(state)) this.#resumed(state, hostname, ban);
  }

  /** For which host names a proxy is suspended, and until when. */
  of(state: ProxyState): { hostname: string; until: number }[] {
    return [...this.#bans].flatMap(([hostname, { until }]) => {
      const time = until.get(state);
      return time === undefined ? [] : [{ hostname, until: time }];
    });
  }

  /** The list is another one. */
  move(roster: Roster): void {
    const bans = this.#bans;
    this.#bans = new Map();
    for (const [hostname, { until }] of bans) {
      for (const [state, time] of until) if (roster.has(state.index)) this.suspend(state, hostname, time, roster);
    }
  }

  #resumed({ proxy }: ProxyState, hostname: string, ban: HostBan): void {
    if (ban.until.size === 0) this.#bans.delete(hostname);
    this.#tell({ type: "resumed", proxy: proxy.name, hostname });
  }
}

function parentOf(hostname: string): string {
  const dot = hostname.indexOf(".");
  return dot < 0 ? "" : hostname.slice(dot + 1);
}

/** Which proxies are suspended for the targets below one host name, and until when. */
class HostBan implements Listed {
  readonly until: Map<ProxyState, number> = new Map();
  readonly ranks: Remainder;
  readonly chances: Remainder | undefined;
  readonly #roster: Roster;
  /** When the first of them is over. */
  #soonest = Infinity;

  constructor(roster: Roster) {
    this.#roster = roster;
    this.ranks = new Remainder(roster.ranks, []);
    this.chances = roster.chances && new Remainder(roster.chances, []);
  }

  get size(): number {
    return this.#roster.size - this.until.size;
  }

  has(index: number): boolean {
    return this.#roster.has(index) && !this.until.has(this.#roster.states[index]!);
  }

  add(state: ProxyState, until: number): void {
    if (!this.#roster.has(state.index)) return;
    if (!this.until.has(state)) this.#take(state);
    this.until.set(state, until);
    this.#soonest = Math.min(this.#soonest, until);
  }

  /** Whether it was suspended. */
  remove(state: ProxyState): boolean {
    if (!this.until.delete(state)) return false;
    this.ranks.put(state.index);
    this.chances?.put(state.index);
    return true;
  }

  /** Puts those back whose time is over, and gives them. */
  resume(now: number): ProxyState[] {
    if (now < this.#soonest) return [];
    const over = [...this.until].filter(([, until]) => until <= now).map(([state]) => state);
    for (const state of over) this.remove(state);
    this.#soonest = Infinity;
    for (const until of this.until.values()) this.#soonest = Math.min(this.#soonest, until);
    return over;
  }

  #take({ index }: ProxyState): void {
    this.ranks.take(index);
    this.chances?.take(index);
  }
}
