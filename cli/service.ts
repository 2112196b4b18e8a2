import { type ConnectionLog, type LocalProxy, serve, type ServeOptions } from "../serve/mod.ts";
import type { AdminSource, Recorder } from "../admin/mod.ts";
import { type ProxySpec, Socks5Client, type Socks5Options } from "../mod.ts";
import { teller } from "./teller.ts";

/** What is served. */
export interface ServicePlan {
  readonly listeners: readonly ListenerPlan[];
}

/** A port, and where it leads. */
export interface ListenerPlan {
  /** Data alone, by which two plans of a listener are compared. */
  readonly options: ServeOptions;
  /** The session of all of its connections. */
  readonly session?: string | undefined;
  readonly upstream: UpstreamPlan;
}

/** The proxies behind a port, and how one of them is chosen. Listeners with the same `key` and `options` share a client. */
export interface UpstreamPlan {
  readonly key: string;
  readonly proxies: readonly ProxySpec[];
  readonly options: Socks5Options;
}

/** Whom a service tells what happens. */
export interface ServiceTeller {
  /** What went wrong, or is worth knowing. */
  say(line: string): void;
  /** The end of a connection, and the place where its client was connected. */
  log?: ((listener: string, entry: ConnectionLog) => void) | undefined;
  /** Makes what records the events of a client. */
  newRecorder?: (() => Recorder) | undefined;
  /** Whether attempts and connections are told, too. */
  readonly isVerbose: boolean;
}

/** A port that is open. */
export interface RunningListener {
  readonly plan: ListenerPlan;
  readonly localProxy: LocalProxy;
}

/** Ports that lead through proxies, and go on while the plan of them changes. */
export class Service {
  readonly #teller: ServiceTeller;
  readonly #clients: Map<string, { readonly client: Socks5Client; readonly recorder: Recorder | undefined }> =
    new Map();
  readonly #leaving: Set<LocalProxy> = new Set();
  #listeners: RunningListener[] = [];

  constructor(teller: ServiceTeller) {
    this.#teller = teller;
  }

  /** The ports that are open, in the order of the plan. */
  get listeners(): readonly RunningListener[] {
    return this.#listeners;
  }

  /** The clients behind the ports. */
  get clients(): readonly Socks5Client[] {
    return [...this.#clients.values()].map(({ client }) => client);
  }

  /** The clients behind the ports that are open, with the places of these as their names if there are several. */
  get sources(): readonly AdminSource[] {
    const places = new Map<string, string[]>();
    for (const { plan, localProxy } of this.#listeners) {
      const key = clientKeyOf(plan.upstream);
      places.set(key, [...places.get(key) ?? [], placeOf(localProxy)]);
    }
    return [...places].map(([key, names]) => ({
      ...this.#clients.get(key)!,
      name: places.size === 1 ? undefined : names.join(", "),
    }));
  }

  /**
   * Serves a plan in place of the one before. What stays the same keeps its port and its connections. A port whose options
   * change is opened anew; what is connected to it stays. If a port cannot be opened, all is as before.
   */
  async apply({ listeners }: ServicePlan): Promise<void> {
    const before = new Map(this.#listeners.map((it) => [keyOf(it.plan), it]));
    const places = new Set([...before.values()].map(({ plan }) => placeOfPlan(plan)));
    const next = new Map<ListenerPlan, RunningListener>();
    for (const plan of listeners) {
      const same = before.get(keyOf(plan));
      if (same === undefined) continue;
      before.delete(keyOf(plan));
      next.set(plan, same);
    }
    const added = listeners.filter((plan) => !next.has(plan));
    const clients = [...this.#clients.keys()];
    const opened: LocalProxy[] = [];
    const open = async (plan: ListenerPlan) => {
      const localProxy = await this.#open(plan);
      opened.push(localProxy);
      next.set(plan, { plan, localProxy });
    };
    try {
      for (const plan of added.filter((it) => !places.has(placeOfPlan(it)))) await open(plan);
      for (const { localProxy } of before.values()) this.#leave(localProxy);
      for (const plan of added.filter((it) => places.has(placeOfPlan(it)))) await open(plan);
    } catch (error) {
      await Promise.all(opened.map((it) => it.close()));
      await this.#closeClients((key) => !clients.includes(key));
      throw error;
    }
    this.#listeners = listeners.map((plan) => next.get(plan)!);
    for (const { upstream } of listeners) this.#clients.get(clientKeyOf(upstream))!.client.setProxies(upstream.proxies);
  }

  /** Closes all of it: idle connections at once, and the others after so many milliseconds. */
  async close(drain: number): Promise<void> {
    const all = [...this.#listeners.map(({ localProxy }) => localProxy), ...this.#leaving];
    await Promise.all(all.map((it) => it.close({ drain })));
    await this.#closeClients(() => true);
  }

  async #open({ options, session, upstream }: ListenerPlan): Promise<LocalProxy> {
    const { say, log } = this.#teller;
    const localProxy: LocalProxy = await serve(this.#clientOf(upstream), {
      ...options,
      ...(session !== undefined && { onConnection: () => ({ session }) }),
      ...(log !== undefined && { log: (entry: ConnectionLog) => log(placeOf(localProxy), entry) }),
      onError: ({ message }) => say(`${placeOf(localProxy)}: ${message}`),
    });
    return localProxy;
  }

  #clientOf(upstream: UpstreamPlan): Socks5Client {
    const key = clientKeyOf(upstream);
    const known = this.#clients.get(key);
    if (known !== undefined) return known.client;
    const recorder = this.#teller.newRecorder?.();
    const tell = teller(this.#teller, () => client.stats().proxies);
    const client: Socks5Client = new Socks5Client(upstream.proxies, {
      ...upstream.options,
      pool: { maxOpen: Infinity }, // programs have their own limits
      onEvent(event) {
        recorder?.onEvent(event);
        tell(event);
      },
    });
    this.#clients.set(key, { client, recorder });
    return client;
  }

  /** What is connected to it stays. */
  #leave(localProxy: LocalProxy): void {
    this.#leaving.add(localProxy);
    void localProxy.close({ drain: Infinity }).then(() => {
      this.#leaving.delete(localProxy);
      const used = new Set(this.#listeners.map(({ plan }) => clientKeyOf(plan.upstream)));
      if (this.#leaving.size === 0) void this.#closeClients((key) => !used.has(key));
    });
  }

  async #closeClients(which: (key: string) => boolean): Promise<void> {
    const closing = [...this.#clients].filter(([key]) => which(key));
    for (const [key] of closing) this.#clients.delete(key);
    await Promise.all(closing.map(([, { client }]) => client.close()));
  }
}

/** Where a local proxy listens. */
export function placeOf({ url, path }: LocalProxy): string {
  return path ?? url.replace(/^https?:\/\//, "");
}

function placeOfPlan({ options: { hostname, port, path } }: ListenerPlan): string {
  return path ?? `${hostname ?? "127.0.0.1"} ${port ?? 0}`;
}

function keyOf({ options, session, upstream }: ListenerPlan): string {
  return JSON.stringify([options, session, clientKeyOf(upstream)]);
}

function clientKeyOf({ key, options }: UpstreamPlan): string {
  return JSON.stringify([key, options]);
}
