// http_proxy

/** @type {import("./all.mjs").Mutation[]} */
export const httpProxy = [
  {
    promise: "bytes behind the head of an HTTP proxy belong to the tunnel",
    file: "src/response_head.ts",
    find: "rest: bytes.slice(end, got)",
    replace: "rest: bytes.slice(end, end)",
    tests: "tests/http_proxy/http_proxy_test.ts",
    name: "bytes behind the head belong to the tunnel",
  },
  {
    promise: "the head of an HTTP proxy has an end",
    file: "src/response_head.ts",
    find: "if (got === LONGEST) throw",
    replace: "if (got === Infinity) throw",
    tests: "tests/http_proxy/http_proxy_test.ts",
    name: "a proxy that answers with …",
  },
  {
    promise: "no message shows the credentials of an HTTP proxy, even if the proxy sends them back",
    file: "http_proxy/connect.ts",
    find: "!secrets.some((secret) => reason.includes(secret))",
    replace: "secrets.every((secret) => secret)",
    tests: "tests/http_proxy/http_proxy_test.ts",
    name: "an answer of …",
  },
  {
    promise: "an HTTP proxy that hangs up is tried again",
    file: "src/request/judge.ts",
    find: "isInner && !unretried.has(thrown)",
    replace: "isInner",
    tests: "tests/http_proxy/http_proxy_test.ts",
    name: "the connection in place of an answer is tried again",
  },
  {
    promise: "no credentials end a line of the request to an HTTP proxy",
    file: "http_proxy/proxy.ts",
    find: "if (/\\p{Cc}/u.test(username + password))",
    replace: "if (/\\p{Cc}/u.test(username))",
    tests: "tests/http_proxy/http_proxy_test.ts",
    name: "httpProxy() refuses …",
  },
];
