// src/proxies and what holds connections to its choice

const many = "tests/proxies/many_test.ts";

/** @type {import("./all.mjs").Mutation[]} */
export const proxies = [
  {
    promise: "sessions share no tunnels",
    file: "src/request/attempts.ts",
    find: "...(session === undefined ? [] : [session])",
    replace: "",
    tests: many,
    name: "sessions share no tunnels,",
  },
  {
    promise: "a session uses no tunnel of another proxy",
    file: "src/proxies/rounds.ts",
    find: "? this.#list.has(state.index) : this.sessionProxy === state;",
    replace: "? this.#list.has(state.index) : true;",
    tests: many,
    name: "a session reuses no tunnel of the proxy that it has left,",
  },
  {
    promise: "an idle tunnel gives way to who waits for its proxy",
    file: "src/pool/pool.ts",
    find: "    this.closeEnded();\n    this.onIdle?.(lease.conn!.proxy);",
    replace: "    this.closeEnded();",
    tests: many,
    name: "an idle tunnel gives way to who waits",
  },
  {
    promise: "a proxy never has more connections than maxOpen says",
    file: "src/proxies/fleet.ts",
    find: "if (state.isFull) this.#update(state);\n    if",
    replace: "if",
    tests: many,
    name: "maxOpen of a proxy holds,",
  },
  {
    promise: "who came first is served first",
    file: "src/proxies/waiters.ts",
    find: "if (own !== undefined && own.number < waiter.number) return own;",
    replace: "if (own !== undefined) return own;",
    tests: "tests/proxies/waiters_test.ts",
    name: "the first in line is served, whether it waits for one proxy or for any",
  },
  {
    promise: "a place in the pool is not held while a place at a proxy is waited for",
    file: "src/request/request.ts",
    find: "giveBack(); // a place",
    replace: "// a place",
    tests: many,
    name: "a session waits for its proxy although another one has room,",
  },
  {
    promise: "a place at a proxy is given back with wrong credentials",
    file: "src/request/attempts.ts",
    find: "    } catch (error) {\n      place.leave();",
    replace: "    } catch (error) {",
    tests: many,
    name: "a function of credentials that throws ends that connect",
  },
  {
    promise: "a suspended proxy has no idle tunnel that is reused",
    file: "src/request/core.ts",
    find: "          ? all\n",
    replace: "          ? () => false\n",
    tests: many,
    name: "suspend() closes what is idle at the proxy,",
  },
  {
    promise: "a proxy that is checked in the background is tried by no connect",
    file: "src/proxies/roster.ts",
    find: " || (this.#isProbed && state.strikes > 0)",
    replace: "",
    tests: many,
    name: "with probe a proxy whose cooldown is over is out of service until it was checked",
  },
  {
    promise: "the list may change while requests wait",
    file: "src/proxies/fleet.ts",
    find: "    this.#waiters.releaseAll();\n",
    replace: "",
    tests: many,
    name: "who waits for a place is served by a list with more proxies",
  },
];
