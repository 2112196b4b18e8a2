import type { DeadlineTimer, Timed } from "../deadline_timer.ts";
import type { Listed } from "./candidates.ts";
import { Remainder } from "./number_tree.ts";
import type { ProxyState } from "./proxy_state.ts";
import type { Roster } from "./roster.ts";

/** The proxies that are suspended for some targets, by the host name that those have or are below. */
export class HostBans {
  readonly #timer: DeadlineTimer<Timed>;
  readonly #onResumed: (state: ProxyState, hostname: string) => void;
  #bans = new Map<string, HostBan>();
  /** The host names for which a proxy is suspended. */
  readonly #names = new Map<ProxyState, Set<string>>();

  /** `onResumed` is told when one is no longer suspended for a host name. */
  constructor(timer: DeadlineTimer<Timed>, onResumed: (state: ProxyState, hostname: string) => void) {
    this.#timer = timer;
    this.#onResumed = onResumed;
  }

  /** The list, less those that are suspended for the host name of a target; another object once it has changed. */
  listFor(hostname: string, roster: Roster): Listed {
    return this.#bans.size === 0 ? roster : this.#below(hostname.replace(/\.$/, ""), roster, performance.now());
  }

  suspend(state: ProxyState, hostname: string, until: number, roster: Roster): void {
    if (!roster.has(state.index)) return;
    const ban = this.#bans.get(hostname) ?? this.#put(hostname, roster);
    ban.add(state, until);
    this.#timer.set(ban);
    let names = this.#names.get(state);
    if (names === undefined) this.#names.set(state, names = new Set());
    names.add(hostname);
  }

  /** Puts one back. */
  resume(state: ProxyState, hostname: string): void {
    const ban = this.#bans.get(hostname);
    if (ban?.until.has(state)) this.#remove(state, ban);
  }

  /** For which host names a proxy is suspended, and until when. */
  of(state: ProxyState): { hostname: string; until: number }[] {
    return Array.from(this.#names.get(state) ?? [], (hostname) => {
      return { hostname, until: this.#bans.get(hostname)!.until.get(state)! };
    });
  }

  /** The list is another one. */
  move(roster: Roster): void {
    const bans = this.#bans;
    this.#bans = new Map();
    this.#names.clear();
    for (const [hostname, ban] of bans) {
      this.#timer.delete(ban);
      for (const [state, until] of ban.until) this.suspend(state, hostname, until, roster);
    }
  }

  /** The list for a host name: what is left for the one above it, less those that are suspended for this one. */
  #below(hostname: string, roster: Roster, now: number): Listed {
    if (hostname === "") return roster;
    const above = this.#below(parentOf(hostname), roster, now);
    const ban = this.#bans.get(hostname);
    if (ban === undefined) return above;
    if (ban.deadline <= now) this.#expire(ban, now);
    if (ban.until.size === 0) return above;
    const list = ban.above === above ? ban : this.#put(hostname, above, ban);
    return list.size > 0 ? list : above; // all of them: each is as good as another
  }

  #put(hostname: string, above: Listed, before?: HostBan): HostBan {
    const ban: HostBan = new HostBan(hostname, above, (now) => this.#expire(ban, now));
    for (const [state, until] of before?.until ?? []) ban.add(state, until);
    if (before !== undefined) {
      this.#timer.delete(before);
      this.#timer.set(ban);
    }
    this.#bans.set(hostname, ban);
    return ban;
  }

  /** Puts those back whose time is over. */
  #expire(ban: HostBan, now: number): void {
    this.#timer.delete(ban);
    ban.deadline = Infinity;
    for (const [state, until] of [...ban.until]) {
      if (until <= now) this.#remove(state, ban);
      else ban.deadline = Math.min(ban.deadline, until);
    }
    if (ban.until.size > 0) this.#timer.set(ban);
  }

  #remove(state: ProxyState, ban: HostBan): void {
    const { hostname } = ban;
    ban.remove(state);
    if (ban.until.size === 0) {
      this.#bans.delete(hostname);
      this.#timer.delete(ban);
    }
    const names = this.#names.get(state)!;
    names.delete(hostname);
    if (names.size === 0) this.#names.delete(state);
    this.#onResumed(state, hostname);
  }
}

/** The host name of a target, `"host:port"`. */
export function hostnameOf(target: string): string {
  return target.slice(0, target.lastIndexOf(":")).replace(/^\[|\]$|\.$/g, "");
}

function parentOf(hostname: string): string {
  const dot = hostname.indexOf(".");
  return dot < 0 ? "" : hostname.slice(dot + 1);
}

/** Which proxies are suspended for the targets below one host name, and until when. */
class HostBan implements Listed, Timed {
  readonly hostname: string;
  /** The list that they are taken out of. */
  readonly above: Listed;
  readonly until: Map<ProxyState, number> = new Map();
  readonly ranks: Remainder;
  readonly chances: Remainder | undefined;
  /** When the first of them is over, or earlier. */
  deadline = Infinity;
  slot = -1;
  readonly #expire: (now: number) => void;

  constructor(hostname: string, above: Listed, expire: (now: number) => void) {
    this.hostname = hostname;
    this.above = above;
    this.ranks = new Remainder(above.ranks, []);
    this.chances = above.chances && new Remainder(above.chances, []);
    this.#expire = expire;
  }

  get size(): number {
    const { above, until } = this;
    if (!(above instanceof HostBan)) return above.size - until.size;
    let size = above.size;
    for (const { index } of until.keys()) if (above.has(index)) size--;
    return size;
  }

  has(index: number): boolean {
    return this.above.has(index) && !this.ranks.isTaken(index);
  }

  add(state: ProxyState, until: number): void {
    if (!this.until.has(state)) {
      this.ranks.take(state.index);
      this.chances?.take(state.index);
    }
    this.until.set(state, until);
    this.deadline = Math.min(this.deadline, until);
  }

  remove(state: ProxyState): void {
    this.until.delete(state);
    this.ranks.put(state.index);
    this.chances?.put(state.index);
  }

  wake(): void {
    this.#expire(Math.max(this.deadline, performance.now()));
  }
}
