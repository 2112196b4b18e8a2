// admin

/** @type {import("./all.mjs").Mutation[]} */
export const admin = [
  {
    promise: "nothing is changed without the token of the page",
    file: "admin/handler.ts",
    find: 'if (!token.isEqual(headers["x-admin-token"]))',
    replace: "if (headers === undefined)",
    tests: "tests/admin/admin_test.ts",
    name: "a POST …without a token… is refused, and changes nothing",
  },
  {
    promise: "nothing is changed for a page from elsewhere",
    file: "admin/guard.ts",
    find: "return origin === `http://${host}` || origin === `https://${host}`;",
    replace: "return origin !== undefined && host !== undefined;",
    tests: "tests/admin/admin_test.ts",
    name: "a POST …from another origin… is refused, and changes nothing",
  },
  {
    promise: "a page cannot reach the port by a name of its own",
    file: "admin/guard.ts",
    find: 'return typeof host !== "string" && isHost(host.hostname);',
    replace: 'return typeof host !== "string" && isHost !== undefined;',
    tests: "tests/admin/admin_test.ts",
    name: "a POST …with another Host and its origin… is refused, and changes nothing",
  },
  {
    promise: "a port that is read-only changes nothing",
    file: "admin/handler.ts",
    find: 'if (config.readonly) return refuse(403, "This port is read-only");',
    replace: "",
    tests: "tests/admin/admin_test.ts",
    name: "a port that is read-only has no token and takes no action",
  },
  {
    promise: "an admin port that is open to others needs credentials",
    file: "admin/options.ts",
    find: "if (!LOOPBACK.test(hostname) && !auth.isRequired)",
    replace: "if (false)",
    tests: "tests/admin/admin_test.ts",
    name: "serveAdmin() refuses …an address for all without credentials",
  },
  {
    promise: "the page takes no markup from elsewhere",
    file: "admin/page/view.ts",
    find: "if (it.textContent !== text) it.textContent = text;",
    replace: "if (it.textContent !== text) it.innerHTML = text;",
    tests: "tests/admin/browser_test.ts",
    name: "the page shows proxies,",
  },
  {
    promise: "rows do not move under the pointer or away from the focus",
    file: "admin/page/script.ts",
    find: "const order = isHeld() && !isAsked ?",
    replace: "const order = false ?",
    tests: "tests/admin/browser_test.ts",
    name: "a row stays where it is while the pointer is on it",
  },
  {
    promise: "the memory of a recorder is bounded whatever becomes of connects",
    file: "admin/recorder.ts",
    find: "if (this.#dials.size > MOST_DIALS)",
    replace: "if (false)",
    tests: "tests/admin/recorder_test.ts",
    name: "the memory of a recorder is bounded when connects are aborted again and again",
  },
];
