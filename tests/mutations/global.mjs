// global

const tests = "tests/global/global_test.ts";
const name = "preloaded with SOCKS5_PROXY, nothing of a process reaches a target directly";

/** @type {import("./all.mjs").Mutation[]} */
export const global = [
  {
    promise: "a socket that was made by hand connects nowhere by itself",
    file: "global/node.ts",
    find: "if (!isFactory) throw refusal",
    replace: "if (!isFactory) return ownDial(() => connect.apply(this, args)); else if (Number(0)) throw refusal",
    tests,
    name,
  },
  {
    promise: "no lookup of a process that goes through a proxy reaches the resolver",
    file: "global/node.ts",
    find: "if (!isOwnDial() && !isLocal(args[0])) {",
    replace: "if (isOwnDial() && !isLocal(args[0])) {",
    tests,
    name,
  },
  {
    promise: "a process whose proxy is not named does not begin",
    file: "global/mod.ts",
    find: "else if (PRELOADED.test(flags)) {",
    replace: 'else if (PRELOADED.test(flags) && flags === "") {',
    tests,
    name: "preloaded without SOCKS5_PROXY, the program does not begin",
  },
  {
    promise: "uninstall() puts everything back",
    file: "global/patches.ts",
    find: "of this.#undo.splice(0).reverse()",
    replace: "of this.#undo.splice(1).reverse()",
    tests,
    name: "uninstall() puts everything back as it was",
  },
];
