/**
 * What the clients of several processes and machines know of their proxies, kept in Redis or Valkey: which proxies are
 * passed over, and how many connections are open at each. It uses a connection of yours: of ioredis, of node-redis, of
 * Bun's `RedisClient`, or of any other client by a function.
 *
 * @module
 */
import { checkOptions, type Known } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import type { FleetLease, FleetStore, FleetSuspension } from "../src/proxies/fleet_store.ts";
import { ACQUIRE, EXCHANGE, RELEASE, RENEW, type Script } from "./scripts.ts";

export type { FleetChanges, FleetLease, FleetStore, FleetSuspension } from "../src/proxies/fleet_store.ts";

/**
 * A connected client of Redis: of ioredis, of Bun or of node-redis, or a function that sends a command, such as
 * `["ZCARD", "key"]`, and gives what Redis answers.
 */
export type RedisLike =
  | { call(command: string, ...args: string[]): Promise<unknown> }
  | { send(command: string, args: string[]): Promise<unknown> }
  | { sendCommand(command: string[]): Promise<unknown> }
  | ((command: string[]) => Promise<unknown>);

/** Options of {@linkcode redisStore}. */
export interface RedisStoreOptions {
  /** What the names of all keys begin with: clients that share it share what they know. Default: `"socks5"`. */
  prefix?: string;
}

const OPTIONS: Known<RedisStoreOptions> = { prefix: true };

/** So many leases are renewed or given back by one script, since Redis does nothing else meanwhile. */
const BATCH = 500;

/** The longest suspension, in milliseconds: a year. */
const LONGEST = 365 * 24 * 3_600_000;

/**
 * A store in Redis 5 or later, or in Valkey, for the option `shared` of a client. It opens and closes no connection, and
 * writes labels of proxies, host names of targets and random ids, in keys that expire by themselves. All keys are in one slot, so that a
 * cluster keeps them together.
 *
 * @throws {TypeError} If `redis` is no client that it knows, or an option is malformed or unknown.
 *
 * @example Every client of Redis that can send a command will do
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { redisStore } from "jsr:@x/socks5/redis";
 *
 * const sent: string[][] = [];
 * const store = redisStore(async (command) => (sent.push(command), 1), { prefix: "crawler" });
 * assertEquals(await store.acquire({ proxy: "de-1", id: "a" }, 5, 30_000), true);
 * assertEquals(sent[0]!.slice(2), ["1", "{crawler}:open:de-1", "a", "5", "30000"]);
 * ```
 */
export function redisStore(redis: RedisLike, options: RedisStoreOptions = {}): FleetStore {
  const send = senderOf(redis);
  const { prefix = "socks5" } = checkOptions("options", options, OPTIONS);
  if (typeof prefix !== "string" || !/^[^{}]+$/.test(prefix)) {
    throw new TypeError(cannot("prefix", "a string without { and }", prefix));
  }
  const suspensions = [`{${prefix}}:suspended`, `{${prefix}}:changed`];
  const placesAt = ({ proxy }: FleetLease) => `{${prefix}}:open:${proxy}`;
  const run = (script: Script, keys: string[], args: unknown[]) => {
    return evaluate(send, script, [`${keys.length}`, ...keys, ...args.map(String)]);
  };
  const runForEach = async (script: Script, leases: readonly FleetLease[], ...args: number[]) => {
    for (let i = 0; i < leases.length; i += BATCH) {
      const batch = leases.slice(i, i + BATCH);
      await run(script, batch.map(placesAt), [...batch.map(({ id }) => id), ...args]);
    }
  };
  return {
    async exchange(changes, cursor) {
      const args = changes.flatMap((change) => [nameOf(change), Math.ceil(Math.min(change.ms, LONGEST))]);
      const [next, ...found] = list(await run(EXCHANGE, suspensions, [cursor, ...args]));
      return { cursor: number(next), suspensions: pairs(found).map(([name, ms]) => suspensionOf(name, number(ms))) };
    },
    async acquire(lease, maxOpen, ttl) {
      return number(await run(ACQUIRE, [placesAt(lease)], [lease.id, maxOpen, ttl])) === 1;
    },
    renew: (leases, ttl) => runForEach(RENEW, leases, ttl),
    release: (leases) => runForEach(RELEASE, leases),
  };
}

type Send = (command: string[]) => Promise<unknown>;

function senderOf(redis: RedisLike): Send {
  const want = "a client of ioredis, node-redis or Bun, or a function that sends a command";
  if (typeof redis === "function") return redis;
  if (typeof redis !== "object" || redis === null) throw new TypeError(cannot("redis", want, redis));
  // ioredis has a `sendCommand` too, for its own kind of command
  if ("call" in redis) return ([command, ...args]) => redis.call(command!, ...args);
  if ("send" in redis) return ([command, ...args]) => redis.send(command!, args);
  if (!("sendCommand" in redis)) throw new TypeError(cannot("redis", want, redis));
  if (redis.sendCommand.length < 3) return (command) => redis.sendCommand(command);
  throw new TypeError("Cannot use a cluster or a sentinel of node-redis without a function that sends a command");
}

/** Runs a script by its name, and sends its code to a server that does not know it. */
async function evaluate(send: Send, script: Script, args: string[]): Promise<unknown> {
  try {
    return await send(["EVALSHA", await script.sha, ...args]);
  } catch (error) {
    if (!/\bNOSCRIPT\b/.test(String(error))) throw error;
    return await send(["EVAL", script.code, ...args]);
  }
}

/** What names a suspension in Redis. */
function nameOf({ proxy, reason, hostname }: FleetSuspension): string {
  return JSON.stringify([reason, proxy, ...(hostname === undefined ? [] : [hostname])]);
}

function suspensionOf(name: string, ms: number): FleetSuspension {
  const [reason, proxy, hostname] = JSON.parse(name);
  return { proxy, reason, ...(hostname === undefined ? {} : { hostname }), ms };
}

function list(answer: unknown): unknown[] {
  if (Array.isArray(answer)) return answer;
  throw new TypeError(cannot("the answer of Redis", "an array", answer));
}

/** A number that a client may give as text, as bytes or as a BigInt. */
function number(answer: unknown): number {
  const value = Number(String(answer));
  if (Number.isSafeInteger(value)) return value;
  throw new TypeError(cannot("the answer of Redis", "a whole number", answer));
}

function pairs(all: unknown[]): [name: string, value: unknown][] {
  return Array.from({ length: all.length / 2 }, (_, i) => [String(all[2 * i]), all[2 * i + 1]]);
}
