import {
  type ConnectOptions,
  type PoolOptions,
  type RequestEvent,
  Socks5Client,
  type Socks5Event,
  type Socks5Options,
} from "../../mod.ts";
import type { Clock } from "../support/clock.ts";
import type { FakeConn, Script } from "../support/fake.ts";
import { type FakeProxies, fakeProxies, type Message, stream } from "../support/fake_stream.ts";
import type * as testing from "../../testing/mod.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import { startEcho, type Target } from "../support/targets.ts";
import { until } from "../support/wait.ts";
import { ofRequests } from "../support/request_events.ts";

const TARGET = "example.test:80";

/** Connects and closes. */
export async function use(client: Socks5Client<FakeConn>, options?: ConnectOptions): Promise<void> {
  (await client.connect(TARGET, options)).close();
}

/** A client of fake proxies, which has connected once and then filled. */
export async function filled(
  clock: Clock,
  pool: PoolOptions = { warm: 1 },
  { scripts, names = ["a"], ...options }: Socks5Options<FakeConn> & {
    scripts?: Record<string, Script | Error>;
    names?: string[];
  } = {},
): Promise<FakeProxies & { client: Socks5Client<FakeConn>; events: RequestEvent[] }> {
  const proxies = fakeProxies(scripts);
  const events: RequestEvent[] = [];
  const client = new Socks5Client(names.map((name) => `socks5://${name}`), {
    ...options,
    transport: proxies.transport,
    pool,
    onEvent: ofRequests((event) => events.push(event)),
  });
  await clock.settle(use(client));
  await clock.pass(0);
  events.length = 0;
  return { ...proxies, client, events };
}

/** What was told, without what came with it. */
export const types = (events: RequestEvent[]): Socks5Event["type"][] => events.map(({ type }) => type);

/** A script that takes the first connection well, and does something of its own at a message of the later ones. */
export function laterOnes(at: Message, act: (conn: FakeConn) => boolean | void): Script {
  const seen = new Set<FakeConn>();
  return stream({
    answer(message, conn) {
      seen.add(conn);
      return seen.size > 1 && message === at && act(conn);
    },
  });
}

/** Ends the connection instead of an answer. */
export const ends = (conn: FakeConn): true => (conn.end(), true);

/** Runs `use` with a client that keeps a session, a proxy and an echo behind it. */
export async function withWarm(
  options: testing.TestProxyOptions,
  clientOptions: Socks5Options,
  use: (
    stage: { proxy: testing.TestProxy; echo: Target; client: Socks5Client; events: RequestEvent[] },
  ) => Promise<void>,
): Promise<void> {
  await withTarget(startEcho(), (echo) =>
    withProxy(options, async (proxy) => {
      const events: RequestEvent[] = [];
      const client = new Socks5Client(proxy.url, {
        pool: { warm: 1 },
        onEvent: ofRequests((event) => events.push(event)),
        ...clientOptions,
      });
      try {
        await use({ proxy, echo, client, events });
      } finally {
        await client.close();
      }
    }));
}

/** Waits until so many sessions are there. */
export async function ready(client: Socks5Client, sessions = 1): Promise<void> {
  await until(() => client.stats().warm === sessions, () => JSON.stringify(client.stats()));
}

export function requestTo(port: number): Uint8Array {
  return Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 0xff);
}
