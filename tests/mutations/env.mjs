// env

/** @type {import("./all.mjs").Mutation[]} */
export const env = [
  {
    promise: "http_proxy is no other variable than HTTP_PROXY where names have no case",
    file: "env/mod.ts",
    find: "return isSame && ",
    replace: "return !isSame && ",
    tests: "tests/env/env_test.ts",
    name: "where variables are one in both cases,",
  },
  {
    promise: "the prefix of an IPv4-mapped network is one of 128 bits",
    file: "env/no_proxy.ts",
    find: "? bits - 96 : bits",
    replace: "? bits : bits",
    tests: "tests/env/env_test.ts",
    name: "bypasses() reads NO_PROXY",
  },
  {
    promise: "a URL of another realm is a URL",
    file: "env/no_proxy.ts",
    find: "isA(URL, target)",
    replace: "target instanceof URL",
    tests: "tests/env/env_test.ts",
    name: "bypasses() takes a URL,",
  },
];
