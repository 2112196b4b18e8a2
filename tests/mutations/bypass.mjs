// bypass: the only way past a proxy

/** @type {import("./all.mjs").Mutation[]} */
export const bypass = [
  {
    promise: "the timeout of a connect limits it, also past the proxy",
    file: "src/direct.ts",
    find: 'milliseconds("timeout", timeout, Infinity);',
    replace: 'milliseconds("timeout", timeout, Infinity) || Infinity;',
    tests: "tests/client/bypass_test.ts",
    name: "a connect that goes directly has no time",
  },
  {
    promise: "a bypass that gives a promise fails the request",
    file: "src/bypass.ts",
    find: 'if (typeof answer === "boolean") return answer;',
    replace: "if (answer !== undefined) return Boolean(answer);",
    tests: "tests/client/bypass_test.ts",
    name: "a bypass that … fails the request",
  },
  {
    promise: "a connection that is kept serves requests that go the same way",
    file: "agent/agent.ts",
    find: "const name = wayName(options) + this.#nameOf(options);",
    replace: "const name = this.#nameOf(options);",
    tests: "tests/client/bypass_test.ts",
    name: "a connection that is kept never serves",
  },
  {
    promise: "the local proxy keeps connections to a target for the way that they went",
    file: "serve/http/upstream.ts",
    find: "if (isDirect !== this.#isDirect) this.close();",
    replace: "",
    tests: "tests/client/bypass_test.ts",
    name: "the local proxy asks for each tunnel",
  },
  {
    promise: "the local proxy does not connect to itself directly by a name of this machine",
    file: "serve/connector.ts",
    find: "if (isOwnPort && isDirect) rejectOwn(conn);",
    replace: "if (isOwnPort && isDirect) void rejectOwn;",
    tests: "tests/client/bypass_test.ts",
    name: "the local proxy does not connect to itself directly",
  },
];
