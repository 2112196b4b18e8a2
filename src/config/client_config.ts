import { checkFunction, checkOptions, type Known } from "../arguments.ts";
import { cannot } from "../errors.ts";
import type { Socks5Event } from "../events.ts";
import { Targets } from "../protocol/address.ts";
import type { UserPass } from "../protocol/messages.ts";
import type { FleetStore } from "../proxies/fleet_store.ts";
import type { StartTls, Transport } from "../transport.ts";
import type { ProbeOptions, Socks5Options } from "./options.ts";
import { encodeCredentials, hasCredentials, parseProxies, type Proxy, type ProxySpec } from "./proxy_url.ts";
import { type CheckArgs, parseCheck, type Terms } from "./request_args.ts";
import { milliseconds, type Settings, settings } from "./settings.ts";

/** Loads code for connections, lookups and TLS before their times are taken. */
export type Load = (needs: { lookup: boolean; tls: boolean }) => Promise<void>;

/** What a client has of the runtime unless its options say otherwise. */
export interface Runtime<S> {
  readonly transport: Transport<S>;
  readonly startTls: StartTls;
  readonly load?: (transport: Transport<S>) => Load;
}

/** What a client is made of, checked. */
export interface ClientConfig<S> {
  /** As they were given last. */
  proxies: readonly Proxy[];
  readonly transport: Transport<S>;
  /** For a connection whose transport has no TLS. */
  readonly startTls: StartTls;
  /** Loads the code for what is to come, as far as it is loaded at its first use. */
  readonly load: Load | undefined;
  readonly settings: Settings;
  readonly isolation: Isolation;
  readonly targets: Targets;
  readonly onEvent: ((event: Socks5Event) => void) | undefined;
  /** How proxies that failed are checked in the background, if they are. */
  readonly probe: ProbeArgs | undefined;
  /** What other processes know. */
  readonly shared: FleetStore | undefined;
}

/** A check in the background, and how many milliseconds after a failure it is made; `undefined`: after the cooldown. */
export interface ProbeArgs {
  readonly args: CheckArgs;
  readonly interval: number | undefined;
}

const CLIENT: Known<Socks5Options> = {
  transport: true,
  auth: true,
  methods: true,
  handshake: true,
  dns: true,
  timeout: true,
  attemptTimeout: true,
  attemptDelay: true,
  retry: true,
  balance: true,
  cooldown: true,
  maxCooldown: true,
  probe: true,
  shared: true,
  trackSessions: true,
  noDelay: true,
  keepAlive: true,
  isolate: true,
  pool: true,
  onEvent: true,
};

/** Checks what the constructor was given; throws a `TypeError` or a `RangeError`. */
export function parseConfig<S>(
  proxy: ProxySpec | readonly ProxySpec[],
  given: Socks5Options<S>,
  runtime: Runtime<S>,
): ClientConfig<S> {
  const options = checkOptions("the options of Socks5Client", given, CLIENT);
  const { transport = runtime.transport, onEvent } = options;
  const proxies = parseProxies(proxy);
  if (typeof transport?.connect !== "function") {
    throw new TypeError(
      cannot("transport", "an object with connect(), as the Socks5Client of another proxy", transport),
    );
  }
  checkFunction("onEvent", onEvent);
  const checked = settings(options);
  checkAuth(checked, proxies);
  const isolation = new Isolation(options.isolate, proxies);
  const targets = new Targets();
  if (checked.dns === "local" && typeof transport.lookup !== "function") {
    throw new TypeError('Cannot use dns as "local": the transport has no lookup()');
  }
  return {
    proxies,
    transport,
    startTls: runtime.startTls,
    load: runtime.load?.(transport),
    settings: checked,
    isolation,
    targets,
    onEvent,
    shared: checkStore(options.shared),
    probe: parseProbe({ settings: checked, isolation, targets, proxies }, options.probe),
  };
}

function checkStore(store: FleetStore | undefined): FleetStore | undefined {
  const calls = ["exchange", "acquire", "renew", "release"] as const;
  if (store === undefined || calls.every((name) => typeof store?.[name] === "function")) return store;
  throw new TypeError(cannot("shared", `a store with ${calls.join("(), ")}()`, store));
}

const PROBE: Known<ProbeOptions> = { target: true, interval: true, timeout: true, tls: true, probe: true };

function parseProbe(
  terms: Terms & { readonly proxies: readonly Proxy[] },
  given: ProbeOptions | undefined,
): ProbeArgs | undefined {
  if (given === undefined) return undefined;
  const { target, interval, timeout, tls, probe } = checkOptions("probe", given, PROBE);
  const ms = milliseconds("probe.timeout", timeout, terms.settings.attemptTimeout);
  const args = parseCheck(terms, target, { tls, probe, timeout: ms, isolate: false });
  return { args, interval: interval === undefined ? undefined : milliseconds("probe.interval", interval, 0) };
}

/** Checks another list for a client; throws a `TypeError` or a `RangeError`. */
export function parseList(
  { settings, isolation }: Pick<ClientConfig<unknown>, "settings" | "isolation">,
  given: readonly ProxySpec[],
): Proxy[] {
  if (!Array.isArray(given)) throw new TypeError(cannot("proxies", "a list of proxies", given));
  const proxies = parseProxies(given);
  checkAuth(settings, proxies);
  isolation.setProxies(proxies);
  return proxies;
}

function checkAuth({ auth, methods }: Settings, proxies: readonly Proxy[]): void {
  if (auth === "optional" || methods.length > 0 || proxies.every(hasCredentials)) return;
  throw new TypeError('Cannot use auth as "required": a proxy has no credentials');
}

/**
 * Keeps streams apart by their credentials, as tor does (IsolateSOCKSAuth): the user name is a secret of the client, the
 * password a token. Nobody else's token is the same, and none begins as tor's own user names do.
 */
export class Isolation {
  readonly #usual: boolean | string;
  #hasCredentials: boolean;
  #secret: string | undefined;

  /** `usual`: that of requests that say nothing; throws a `TypeError` or a `RangeError`. */
  constructor(usual: boolean | string | undefined, proxies: readonly Proxy[]) {
    this.#hasCredentials = proxies.some(hasCredentials);
    this.#usual = this.#checked(usual ?? false);
  }

  /** The list is another one; throws a `TypeError` if its proxies have credentials and streams are to be kept apart. */
  setProxies(proxies: readonly Proxy[]): void {
    const before = this.#hasCredentials;
    this.#hasCredentials = proxies.some(hasCredentials);
    try {
      this.#checked(this.#usual);
    } catch (error) {
      this.#hasCredentials = before;
      throw error;
    }
  }

  /** That of one request; with credentials of its own there is none. */
  of(isolate: boolean | string | undefined, credentials: unknown): boolean | string {
    const own = this.#checked(isolate ?? false);
    if (credentials === undefined) return isolate === undefined ? this.#usual : own;
    if (own !== false) throw new TypeError("Cannot combine isolate with credentials");
    return false;
  }

  /** The credentials that stand for it; `true` is a token that comes only once. */
  credentials(isolate: boolean | string): UserPass | undefined {
    if (isolate === false) return undefined;
    this.#secret ??= crypto.randomUUID();
    return encodeCredentials({ username: this.#secret, password: isolate === true ? crypto.randomUUID() : isolate });
  }

  #checked(isolate: unknown): boolean | string {
    const want = "a boolean or a token of 1 to 255 bytes";
    if (typeof isolate === "string") {
      if (isolate === "" || new TextEncoder().encode(isolate).length > 255) {
        throw new RangeError(cannot("isolate", want, isolate));
      }
    } else if (typeof isolate !== "boolean") throw new TypeError(cannot("isolate", want, isolate));
    if (isolate !== false && this.#hasCredentials) {
      throw new TypeError("Cannot combine isolate with a proxy that has credentials");
    }
    return isolate;
  }
}
