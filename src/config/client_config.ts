import { checkFunction, checkOptions, type Known } from "../arguments.ts";
import { cannot } from "../errors.ts";
import type { Socks5Event } from "../events.ts";
import { Targets } from "../protocol/address.ts";
import type { StartTls, Transport } from "../transport.ts";
import { Isolation } from "./isolation.ts";
import type { Socks5Options } from "./options.ts";
import { parseProxy, type Proxy, type ProxySpec } from "./proxy_url.ts";
import { type Settings, settings } from "./settings.ts";

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
  readonly proxies: readonly Proxy[];
  /** The first of them that is a unix socket, which carries no datagrams. */
  readonly unixProxy: Proxy | undefined;
  readonly transport: Transport<S>;
  /** For a connection whose transport has no TLS. */
  readonly startTls: StartTls;
  /** Loads the code for what is to come, as far as it is loaded at its first use. */
  readonly load: Load | undefined;
  readonly settings: Settings;
  readonly isolation: Isolation;
  readonly targets: Targets;
  readonly onEvent: ((event: Socks5Event) => void) | undefined;
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
  cooldown: true,
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
  const proxies = (Array.isArray(proxy) ? proxy : [proxy]).map(parseProxy);
  if (proxies.length === 0) throw new TypeError(cannot("proxy", "a list of proxies", proxy));
  if (typeof transport?.connect !== "function") {
    throw new TypeError(
      cannot("transport", "an object with connect(), as the Socks5Client of another proxy", transport),
    );
  }
  checkFunction("onEvent", onEvent);
  const checked = settings(options);
  const isolation = new Isolation(options.isolate, proxies);
  if (
    checked.auth === "required" && checked.methods.length === 0 &&
    proxies.some(({ credentials }) => credentials === null)
  ) {
    throw new TypeError('Cannot use auth as "required": a proxy has no credentials');
  }
  if (checked.dns === "local" && typeof transport.lookup !== "function") {
    throw new TypeError('Cannot use dns as "local": the transport has no lookup()');
  }
  return {
    proxies,
    unixProxy: proxies.find(({ endpoint }) => "path" in endpoint),
    transport,
    startTls: runtime.startTls,
    load: runtime.load?.(transport),
    settings: checked,
    isolation,
    targets: new Targets(),
    onEvent,
  };
}
