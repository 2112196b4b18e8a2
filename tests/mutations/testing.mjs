// testing

/** @type {import("./all.mjs").Mutation[]} */
export const testing = [
  {
    promise: "close() of a test proxy ends a dial to a target",
    file: "testing/connect.ts",
    find: "conn.own(target);",
    replace: 'target.once("connect", () => conn.own(target));',
    tests: "tests/testing/options_test.ts",
    name: "close() ends what waits: a step, a target that is not reached,",
  },
  {
    promise: "what a function of the caller's throws is told",
    file: "testing/proxy.ts",
    find: ".catch((error) => this.#changes.fail(error))",
    replace: ".catch(() => {})",
    tests: "tests/testing/options_test.ts",
    name: "what a function of the caller's throws (",
  },
  {
    promise: "the faults of a step add up",
    file: "testing/script.ts",
    find: "here.reduce((bytes, it) => it.answer ? it.answer(bytes) : bytes, right)",
    replace: "here.findLast((it) => it.answer)?.answer?.(right) ?? right",
    tests: "tests/testing/options_test.ts",
    name: "one fault counts on every connection, and several add up in their order",
  },
];
