import type { RedisLike } from "../../redis/mod.ts";
import { type Library, library } from "./library.ts";
import type { RealProxy } from "./real_program.ts";

/** A client of Redis, connected. */
export interface RedisClient {
  readonly redis: RedisLike;
  /** Sends a command. */
  send(...command: string[]): Promise<unknown>;
  close(): void;
}

/** A library that talks to Redis. */
export interface RedisLibrary {
  readonly name: string;
  /** Why it cannot be tried here. */
  readonly missing: string | false;
  connect(server: RealProxy): Promise<RedisClient>;
  /** Connects to a server as to a cluster. */
  cluster?(server: RealProxy): Promise<Pick<RedisClient, "redis" | "close">>;
}

const ioredis = await library("ioredis");
const nodeRedis = await library("redis");
const { Bun } = globalThis as { Bun?: Library["it"] };

/** All that are tried: Bun's own client is part of Bun. */
export const redisLibraries: RedisLibrary[] = [
  {
    name: "ioredis",
    missing: ioredis.missing,
    async connect({ hostname, port, credentials }) {
      const options = { host: hostname, port, password: credentials?.password, lazyConnect: true };
      const redis = new ioredis.it.Redis({ ...options, retryStrategy: () => 50 });
      redis.on("error", () => {}); // that of a server which is killed
      await redis.connect();
      return { redis, send: (...command) => redis.call(...command), close: () => redis.disconnect() };
    },
    async cluster({ hostname, port }) {
      const redis = new ioredis.it.Cluster([{ host: hostname, port }], { lazyConnect: true });
      await redis.connect();
      return { redis, close: () => redis.disconnect() };
    },
  },
  {
    name: "node-redis",
    missing: nodeRedis.missing,
    async connect({ hostname, port, credentials }) {
      const socket = { host: hostname, port, reconnectStrategy: () => 50 };
      const redis = nodeRedis.it.createClient({ socket, password: credentials?.password });
      redis.on("error", () => {});
      await redis.connect();
      return { redis, send: (...command) => redis.sendCommand(command), close: () => redis.destroy() };
    },
    async cluster({ hostname, port }) {
      const redis = nodeRedis.it.createCluster({ rootNodes: [{ socket: { host: hostname, port } }] });
      redis.on("error", () => {});
      await redis.connect();
      const send = (command: string[]) => redis.sendCommand(command[3], false, command);
      return { redis: send, close: () => redis.destroy() };
    },
  },
  ...Bun === undefined ? [] : [{
    name: "Bun's RedisClient",
    missing: false as const,
    async connect({ hostname, port, credentials }: RealProxy) {
      const password = encodeURIComponent(credentials?.password ?? "");
      const redis = new Bun.RedisClient(`redis://:${password}@${hostname}:${port}`);
      await redis.connect();
      const send = (command: string, ...args: string[]) => redis.send(command, args);
      return { redis, send, close: () => redis.close() } as RedisClient;
    },
  }],
];
