import { type Target, Targets } from "./protocol/address.ts";
import type { Association } from "./udp/association.ts";
import type { CheckReport } from "./check.ts";
import type { Core, Socks5Stats } from "./core.ts";
import type { Socks5Binding, Socks5Conn } from "./tunnel/socks5_conn.ts";
import type { AssociateOptions, CheckOptions, CommandOptions, ConnectOptions } from "./config/options.ts";
import {
  type ClientConfig,
  parseAssociate,
  parseBind,
  parseCheck,
  parseConnect,
  parseResolve,
} from "./config/arguments_of.ts";

let client: typeof import("./core.ts") | undefined;

/** A client whose core is loaded when it is first used: a program that only imports the package does not wait for it. */
export class LazyCore<S> {
  readonly #plan: ClientConfig<S>;
  readonly #targets = new Targets();
  #core: Core<S> | undefined;
  #loading: Promise<Core<S>> | undefined;

  constructor(plan: ClientConfig<S>) {
    this.#plan = plan;
  }

  connect(target: Target, options?: ConnectOptions): Promise<Socks5Conn<S>> {
    try {
      const asked = parseConnect(this.#plan, this.#targets, target, options);
      return this.#loaded?.connect(asked) ?? this.#load().then((core) => core.connect(asked));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  associate(options?: AssociateOptions): Promise<Association> {
    return this.#ask(() => parseAssociate(this.#plan, options), (core, asked) => core.associate(asked));
  }

  check(target: Target | undefined, options?: CheckOptions): Promise<CheckReport[]> {
    return this.#ask(() => parseCheck(this.#plan, this.#targets, target, options), (core, asked) => core.check(asked));
  }

  bind(peer: Target, options?: CommandOptions): Promise<Socks5Binding<S>> {
    return this.#ask(() => parseBind(this.#plan, peer, options), (core, asked) => core.bind(asked));
  }

  resolve(name: string, what: "name" | "address", options?: CommandOptions): Promise<string> {
    return this.#ask(() => parseResolve(this.#plan, name, what, options), (core, asked) => core.resolve(asked, what));
  }

  stats(): Socks5Stats {
    if (this.#loaded !== undefined) return this.#loaded.stats();
    const proxies = this.#plan.proxies.map(({ name }) => ({ proxy: name, failures: 0, cooldown: 0 }));
    const now = { opening: 0, inUse: 0, idle: 0, warm: 0, waiting: 0 };
    return { ...now, connects: 0, reused: 0, failures: 0, retries: 0, proxies };
  }

  close(options?: { drain?: number }): Promise<void> {
    return this.#loaded?.close(options) ?? this.#load().then((core) => core.close(options));
  }

  /** The promise of the core itself: it settles in the moment in which something is handed over. */
  #ask<A, T>(check: () => A, ask: (core: Core<S>, asked: A) => Promise<T>): Promise<T> {
    try {
      const asked = check();
      const core = this.#loaded;
      return core === undefined ? this.#load().then((core) => ask(core, asked)) : ask(core, asked);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  get #loaded(): Core<S> | undefined {
    return this.#core ??= client && new client.Core(this.#plan);
  }

  /** One promise for all that waits, so that their order stays. */
  #load(): Promise<Core<S>> {
    return this.#loading ??= import("./core.ts").then((module) => {
      client = module;
      return this.#loaded!;
    }).finally(() => this.#loading = undefined); // a failed import is tried again
  }
}
