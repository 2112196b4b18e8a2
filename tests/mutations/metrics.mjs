// metrics

/** @type {import("./all.mjs").Mutation[]} */
export const metrics = [
  {
    promise: "a label of a proxy ends no series",
    file: "metrics/mod.ts",
    find: 'const escaped = value.replace(/[\\\\"\\n]/g, ',
    replace: "const escaped = value.replace(/[\\\\\\n]/g, ",
    tests: "tests/metrics/metrics_test.ts",
    name: "quotes, backslashes and line ends of labels are escaped",
  },
  {
    promise: "a series is not written twice",
    file: "metrics/mod.ts",
    find: "byLabel.set(it.proxy, same === undefined ? it : sum(same, it));",
    replace: "byLabel.set(it.proxy + byLabel.size, it);",
    tests: "tests/metrics/metrics_test.ts",
    name: "proxies with the same label are added up, since a series must not be there twice",
  },
];
