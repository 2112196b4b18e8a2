import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { inspect } from "node:util";
import { ClosedError, Socks5Client, Socks5Error, type Socks5Options } from "../../mod.ts";
import { type Clock, withClock } from "./clock.ts";
import { type FakeConn, FakeTransport, type Script } from "./fake.ts";
import { stream } from "./fake_stream.ts";
import { quick, test } from "./test.ts";

/** The reason of an abort. */
export const REASON: Error = new Error("the caller's own reason");
/** The timeout of a client that is disturbed. */
export const TIMEOUT = 5_000;
/** Where it connects to. */
export const TARGET = "example.test:80";

/** What happens to a connect at one of its suspension points. */
const ACTIONS = ["abort", "expire", "close", "fail"] as const;
/** What happens to a connect. */
export type Action = typeof ACTIONS[number];

/** When: before the point is settled, or so many turns of the microtask queue after it. */
const WHEN = ["before", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] as const;
type When = typeof WHEN[number];

/** What ends a connect of the transport that waits: Bun's cannot be ended. */
const ENDED_BY = ["signal", "owner", "nothing"] as const;
type EndedBy = typeof ENDED_BY[number];

/** What is disturbed, and what is done before and after it. */
export interface Scene {
  /** How many suspension points there are at least. Default: 5. */
  points?: number;
  script?: () => Script;
  proxies?: string[];
  options?: Socks5Options;
  chain?: boolean;
  addresses?: string[];
  /** Whether what is handed over reads by itself, which is a point after the last. */
  watches?: boolean;
  /** Whether the connections have TLS. */
  tls?: boolean;
  before?: (client: Socks5Client, clock: Clock) => Promise<void>;
  /** What is disturbed; `last` is told of its last promise, if that is not the one that is returned. */
  connect?: (client: Socks5Client, signal: AbortSignal, last: Last) => Promise<{ close(): void } | null>;
  /** Looks at what the connections got since `before`; `error` is what it was rejected with. */
  check?: (conns: readonly FakeConn[], error: Error | undefined, action: Action) => void;
}

/** Tells what is disturbed last, and gives it back. */
export type Last = <T>(promise: Promise<T>) => Promise<T>;

/** Registers a test for each scene and action: whenever it comes, all settles once and nothing is left. */
export function sweep(scenes: Record<string, Scene>): void {
  for (const [name, scene] of Object.entries(scenes)) {
    for (const action of ACTIONS) {
      test(`${name}, with ${action} at each of its suspension points, settles once and leaves nothing`, () =>
        withClock(async (clock) => {
          for (const endedBy of ENDED_BY) {
            const all = action === "fail" ? 1 : endedBy === "nothing" || quick ? 2 : WHEN.length;
            const points = await run(clock, scene, action, 0, "before", endedBy);
            assertGreaterOrEqual(points, scene.points ?? 5, "there is nothing to sweep");
            for (const when of WHEN.slice(0, all)) {
              // the turns after the last point are those in which the tunnel changes hands
              for (let point = when === "before" || when === 0 ? 1 : points; point <= points; point++) {
                try {
                  await run(clock, scene, action, point, when, endedBy);
                } catch (error) {
                  const where = `at point ${point}, ${when} turns after it settles, ended by ${endedBy}`;
                  throw new Error(`${where}: ${error instanceof Error ? error.message : error}`, { cause: error });
                }
              }
            }
          }
        }));
    }
  }
}

/** One connect, disturbed at a point counted from 1; gives the number of its suspension points. */
async function run(clock: Clock, scene: Scene, action: Action, point: number, when: When, endedBy: EndedBy) {
  const transport = new FakeTransport((scene.script ?? stream)());
  transport.cancels = endedBy !== "nothing";
  transport.usesOwner = endedBy === "owner";
  transport.addresses = scene.addresses ?? transport.addresses;
  if (scene.tls) transport.onTls = () => {};
  const controller = new AbortController();
  const listeners = countListeners(controller.signal);
  const options = { timeout: TIMEOUT, ...scene.options, transport };
  const inner = scene.chain ? new Socks5Client("socks5://first", options) : null;
  const client = new Socks5Client(scene.proxies ?? "socks5://a", { ...options, transport: inner ?? transport });
  await scene.before?.(client, clock);
  for (const conn of transport.conns) conn.written = [];
  const start = transport.points;
  let wasPending = false; // when it was disturbed
  let last: Promise<unknown> | undefined;
  const act = (n: number) => {
    if (n - start !== point) return;
    if (action === "abort") controller.abort(REASON);
    if (action === "expire") clock.jump(TIMEOUT);
    wasPending = last === undefined || inspect(last).includes("pending");
    if (action === "close") void client.close();
    if (action === "fail") throw new Error("injected");
  };
  if (when === "before") transport.onPoint = act;
  else transport.onPassed = async (n) => (await turns(when), act(n));
  let settlements = 0;
  let points = 0;
  const { connect = (client, signal) => client.connect(TARGET, { signal }) } = scene;
  const connecting = connect(client, controller.signal, (promise) => last = promise);
  last ??= connecting;
  const count = () => (settlements++, points = transport.points - start - Number(scene.watches ?? false));
  connecting.then(count, count);
  const outcome: { close(): void } | null | Error = await clock.settle(
    connecting.then((conn) => conn, (error) => error),
  );
  assertEquals(settlements, 1);
  const error = outcome instanceof Error ? outcome : undefined;
  scene.check?.(transport.conns, error, action);
  if (!(outcome instanceof Error)) {
    assert(
      action === "close" || outcome === null || !transport.conns.at(-1)!.closed,
      "a closed tunnel was handed over",
    );
    const isCallers = action === "abort" || action === "close";
    assert(!isCallers || !wasPending, "what the caller did before it settled did not count");
    outcome?.close();
  } else if (point > 0) checkError(outcome, action);
  else throw outcome;
  const { opening, inUse, waiting } = client.stats();
  const fills = scene.options?.pool?.warm !== undefined;
  assertEquals([fills ? 0 : opening, inUse, waiting], [0, 0, 0]);
  assertEquals(listeners(), 0, "a listener is left on the caller's signal");
  await clock.settle(client.close());
  await inner?.close();
  await clock.tick(0);
  const { idle, warm, opening: late } = client.stats();
  assertEquals([idle, warm, late], [0, 0, 0]);
  assertEquals(transport.open, 0, "a connection is left");
  assert(!clock.next(), "a timer is left");
  return points;
}

/** Fails if it is not the error of what happened. */
export function checkError(error: Error, action: Action): void {
  if (action === "abort") assertEquals(error, REASON);
  else assert(error instanceof Socks5Error, String(error));
  if (action === "expire") assertEquals((error as Socks5Error).code, "SOCKS5_TIMEOUT");
  if (action === "close") assert(error instanceof ClosedError && error.code === "SOCKS5_CLIENT_CLOSED", String(error));
}

/** Counts the abort listeners that are on a signal. */
export function countListeners(signal: AbortSignal): () => number {
  let listeners = 0;
  const { addEventListener: add, removeEventListener: remove } = signal;
  const known = new Set<unknown>();
  signal.addEventListener = (...args: unknown[]) => {
    if (!known.has(args[1])) listeners++;
    known.add(args[1]);
    Reflect.apply(add, signal, args);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    if (known.delete(args[1])) listeners--;
    Reflect.apply(remove, signal, args);
  };
  return () => listeners;
}

/** So many turns of the microtask queue. */
export async function turns(n: number): Promise<void> {
  for (let i = 0; i < n; i++) await undefined;
}
