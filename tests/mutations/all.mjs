// Every mutation of tests/mutations.mjs, room by room.
import { readFileSync } from "node:fs";
import { posix } from "node:path";
import { adapters } from "./adapters.mjs";
import { admin } from "./admin.mjs";
import { agent } from "./agent.mjs";
import { attempt } from "./attempt.mjs";
import { bypass } from "./bypass.mjs";
import { cli } from "./cli.mjs";
import { env } from "./env.mjs";
import { fetch } from "./fetch.mjs";
import { global } from "./global.mjs";
import { httpProxy } from "./http_proxy.mjs";
import { metrics } from "./metrics.mjs";
import { pool } from "./pool.mjs";
import { protocol } from "./protocol.mjs";
import { proxies } from "./proxies.mjs";
import { redis } from "./redis.mjs";
import { request } from "./request.mjs";
import { serve } from "./serve.mjs";
import { testing } from "./testing.mjs";
import { tunnel } from "./tunnel.mjs";
import { udp } from "./udp.mjs";
import { workers } from "./workers.mjs";
import { websocket } from "./websocket.mjs";

/**
 * A change that breaks a promise, and the test that says so.
 *
 * @typedef {object} Mutation
 * @property {string} promise What is true as long as nobody makes this change.
 * @property {string} file The file to change.
 * @property {string} find What is there now, exactly once.
 * @property {string} replace What to write instead.
 * @property {string} tests The test file.
 * @property {string} name The name of the test that fails then, or a part of it as it is written in the test file; "…"
 * stands for what is put in.
 * @property {"node" | "deno" | "bun" | "workerd"} [on] The runtime to run it on; `"node"` if left out.
 */

/** @type {Mutation[]} */
export const mutations = [
  ...protocol,
  ...attempt,
  ...tunnel,
  ...pool,
  ...proxies,
  ...httpProxy,
  ...bypass,
  ...websocket,
  ...global,
  ...request,
  ...udp,
  ...adapters,
  ...agent,
  ...fetch,
  ...serve,
  ...env,
  ...redis,
  ...metrics,
  ...admin,
  ...cli,
  ...testing,
  ...workers,
];

/**
 * Why a mutation cannot be applied to this tree, or `undefined` if it can.
 *
 * @param {Mutation} mutation
 * @param {URL} root
 * @returns {string | undefined}
 */
export function staleness({ promise, file, find, replace, tests, name }, root) {
  const why = reason();
  return why && `The mutation "${promise}" is stale: ${why}`;

  function reason() {
    const source = read(root, file);
    if (source === undefined) return `there is no ${file}`;
    const times = source.split(find).length - 1;
    if (times !== 1) return `${file} has this ${times} times, which should be there once:\n${find}`;
    if (find === replace) return "it changes nothing";
    const texts = sources(root, tests);
    const isThere = name.split("…").every((part) => texts.some((text) => text.includes(part)));
    if (!isThere) return `no test of ${tests} has this name:\n${name}`;
  }
}

/** A pattern for the name of a test as the runtime prints it. */
export function patternOf(name) {
  return name.split("…").map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join(".*");
}

/** A test file and what it imports from beside it or from tests/support, where some tests get their names. */
function sources(root, path, seen = new Set()) {
  const source = read(root, path);
  if (source === undefined || seen.has(path)) return [];
  seen.add(path);
  const imported = [...source.matchAll(/ from "(\.[^"]+)"/g)].map(([, to]) => posix.join(posix.dirname(path), to));
  const own = imported.filter((to) => to.startsWith("tests/"));
  return [source, ...own.flatMap((to) => sources(root, to, seen))];
}

function read(root, path) {
  try {
    return readFileSync(new URL(path, root), "utf8");
  } catch {
    return undefined;
  }
}
