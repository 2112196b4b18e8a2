import { type Target, Targets } from "./address.ts";
import type { Association } from "./association.ts";
import type { CheckReport } from "./check.ts";
import type { Core, Socks5Stats } from "./client.ts";
import type { Socks5Binding, Socks5Conn } from "./connection.ts";
import type { AssociateOptions, CheckOptions, CommandOptions, ConnectOptions } from "./options.ts";
import { askName, askPeer, type Plan, planAssociate, planCheck, wish } from "./plan.ts";

let client: typeof import("./client.ts") | undefined;

/** A client whose core is loaded when it is first used: a program that only imports the package does not wait for it. */
export class LazyCore<S> {
  readonly #plan: Plan<S>;
  readonly #targets = new Targets();
  #core: Core<S> | undefined;
  #loading: Promise<Core<S>> | undefined;

  constructor(plan: Plan<S>) {
    this.#plan = plan;
  }

  connect(target: Target, options: ConnectOptions): Promise<Socks5Conn<S>> {
    try {
      const asked = wish(this.#plan, this.#targets, target, options);
      return this.#loaded?.connect(asked) ?? this.#load().then((core) => core.connect(asked));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  associate(options: AssociateOptions): Promise<Association> {
    try {
      const asked = planAssociate(this.#plan, options);
      return this.#loaded?.associate(asked) ?? this.#load().then((core) => core.associate(asked));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  check(target: Target | undefined, options: CheckOptions): Promise<CheckReport[]> {
    try {
      const asked = planCheck(this.#plan, this.#targets, target, options);
      return this.#loaded?.check(asked) ?? this.#load().then((core) => core.check(asked));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async bind(peer: Target, options: CommandOptions): Promise<Socks5Binding<S>> {
    const asked = askPeer(this.#plan, peer, options);
    return await (this.#loaded ?? await this.#load()).bind(asked);
  }

  async resolve(name: string, what: "name" | "address", options: CommandOptions): Promise<string> {
    const asked = askName(this.#plan, name, what, options);
    return await (this.#loaded ?? await this.#load()).resolve(asked, what);
  }

  stats(): Socks5Stats {
    if (this.#loaded !== undefined) return this.#loaded.stats();
    const proxies = this.#plan.proxies.map(({ name }) => ({ proxy: name, failures: 0, cooldown: 0 }));
    const now = { opening: 0, inUse: 0, idle: 0, warm: 0, waiting: 0 };
    return { ...now, connects: 0, reused: 0, failures: 0, retries: 0, proxies };
  }

  close(options: { drain?: number }): Promise<void> {
    return this.#loaded?.close(options) ?? this.#load().then((core) => core.close(options));
  }

  get #loaded(): Core<S> | undefined {
    return this.#core ??= client && new client.Core(this.#plan);
  }

  /** One promise for all that waits, so that their order stays. */
  #load(): Promise<Core<S>> {
    return this.#loading ??= import("./client.ts").then((module) => {
      client = module;
      return this.#loaded!;
    }).finally(() => this.#loading = undefined); // a failed import is tried again
  }
}
