// cli

/** @type {import("./all.mjs").Mutation[]} */
export const cli = [
  {
    promise: "socks5 connect goes on sending after the end of the target",
    file: "cli/connect.ts",
    find: "  await sending;",
    replace: "",
    tests: "tests/cli/connect_test.ts",
    name: "the end of the target is passed on, and the input still goes",
  },
  {
    promise: "socks5 connect reads no more than its output takes",
    file: "cli/connect.ts",
    find: "!== null;) await stdout.write(",
    replace: "!== null;) void stdout.write(",
    tests: "tests/cli/connect_test.ts",
    name: "who does not read the output holds the target up",
  },
  {
    promise: "the command line does not start in a bundle",
    file: "cli/mod.ts",
    find: " && /\\/cli\\/mod\\.[jt]s$/.test(import.meta.url)",
    replace: "",
    tests: "tests/cli/bundle_test.ts",
    name: "main(), imported and bundled into one module by ",
  },
  {
    promise: "socks5 serve tells what no client can be told",
    file: "cli/serve.ts",
    find: "onError: ({ message }) =>",
    replace: "onError: ({ message }) => false &&",
    tests: "tests/cli/serve_test.ts",
    name: "--max-clients limits how many are connected,",
  },
  {
    promise: "a proxy that was overtaken is called silent, not failed",
    file: "cli/serve.ts",
    find: '?? "silent"',
    replace: '?? "failed"',
    tests: "tests/cli/serve_test.ts",
    name: "--verbose calls a proxy that was overtaken silent, not failed",
  },
  {
    promise: "the columns of a report have room for the longest verdict",
    file: "cli/report.ts",
    find: "map(({ length }) => length)",
    replace: "map(() => 8)",
    tests: "tests/cli/check_test.ts",
    name: "each verdict after each phase is drawn",
  },
  {
    promise: "nothing of a list of proxies is shown",
    file: "cli/proxies.ts",
    find: "`Cannot use ${source}`)",
    replace: "`Cannot use ${source} ${proxy}`)",
    tests: "tests/cli/usage_test.ts",
    name: "what is wrong in a list of proxies is told by file and line,",
  },
  {
    promise: "a password in an argument is not in the list of processes",
    file: "cli/main.ts",
    find: "process.title = `socks5 ${redactArgs(args)}`;",
    replace: "",
    tests: "tests/cli/connect_test.ts",
    name: "a password in an argument is taken out of the list of processes,",
  },
];
