// fetch

/** @type {import("./all.mjs").Mutation[]} */
export const fetch = [
  {
    promise: "a POST is not sent twice by fetch",
    file: "fetch/exchange.ts",
    find: " || !mayRepeat(hop)",
    replace: "",
    tests: "tests/fetch/connections_test.ts",
    name: " on a kept connection that the target closes just then is sent ",
  },
  {
    promise: "a body that came whole is given once its connection is free",
    file: "fetch/fetcher.ts",
    find: 'await Promise.race([new Promise((resolve) => request.once("close", resolve)), turn()]);',
    replace: "",
    tests: "tests/fetch/connections_test.ts",
    name: " on a kept connection that the target closes just then is sent ",
  },
  {
    promise: "an upload ends that its answer overtook",
    file: "fetch/fetcher.ts",
    find: "else if (!request.writableEnded) request.destroy();",
    replace: "",
    tests: "tests/fetch/connections_test.ts",
    name: "an answer in the middle of an upload is given,",
  },
  {
    promise: "a response that nobody holds any more closes its connection",
    file: "fetch/response_body.ts",
    find: "controller = new WeakRef(it);",
    replace: "controller = { deref: () => it } as never;",
    tests: "tests/fetch/connections_test.ts",
    name: "a response that is dropped unread closes its connection",
  },
  {
    promise: "an abort fails a body that is here and was not read",
    file: "fetch/response_body.ts",
    find: "fail: (error) => controller.deref()?.error(error)",
    replace: "fail: (error) => void error",
    tests: "tests/fetch/connections_test.ts",
    name: "small one, which is here",
  },
  {
    promise: "the body of a redirect is drained within a limit",
    file: "fetch/redirect.ts",
    find: "const MAX_DRAIN_BYTES = 65_536;",
    replace: "const MAX_DRAIN_BYTES = Infinity;",
    tests: "tests/fetch/connections_test.ts",
    name: "a redirect whose body ",
  },
  {
    promise: "Authorization stays with its origin",
    file: "fetch/redirect.ts",
    find: "if (url.origin !== hop.url.origin)",
    replace: "if (url.origin === undefined)",
    tests: "tests/fetch/redirect_test.ts",
    name: "authorization stays with its origin",
  },
  {
    promise: "what the caller says of the connection is not passed on",
    file: "fetch/request_fields.ts",
    find: "if (!NOT_FORWARDED.has(name)) ",
    replace: "",
    tests: "tests/fetch/side_by_side_test.ts",
    name: "what the caller says of the connection is left out",
  },
];
