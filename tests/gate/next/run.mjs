// Builds the project, serves it through a proxy that works and through one that is down, and says whether all went its way.
import { createTestProxy } from "@x/socks5/testing";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import process from "node:process";
import { createInterface } from "node:readline";

const NEXT = "node_modules/next/dist/bin/next";

// what the target answers: to each way in a route handler, and to each page
const ANSWERS = {
  "/by/fetch": "GET /fetch",
  "/by/revalidate": "GET /revalidate",
  "/by/forced": "GET /forced",
  "/by/request": "GET /request",
  "/by/post": "POST /post",
  "/by/redirect": "GET /redirected",
  "/by/agent": "GET /agent",
  "/by/connect": "GET /connect",
  "/by/start": "GET /instrumentation",
  "/": "GET /component",
  "/cached": "GET /cached",
};

// with the global fetch as it is, and with ours in its place
const SETUPS = [["", ANSWERS], ["1", { ...ANSWERS, "/by/global": "GET /global" }]];

let served = 0;
const web = createServer((request, response) => {
  served++;
  if (request.url.endsWith("?redirect")) response.writeHead(302, { location: "/redirected" }).end();
  else response.end(`${request.method} ${request.url}`);
});
await once(web.listen(0, "127.0.0.1"), "listening");
const direct = `http://127.0.0.1:${web.address().port}`;
const proxy = await createTestProxy({
  credentials: { username: "user", password: "pass" },
  rules: { "web.test:80": { port: web.address().port } },
});

try {
  const build = spawn(process.execPath, [NEXT, "build"], {
    env: env({ TARGET: direct }),
    stdio: ["ignore", "inherit", "inherit"],
  });
  assert.deepEqual(await once(build, "close"), [0, null]);
  assert.equal(served, 0);

  for (const [REPLACE, answers] of SETUPS) {
    const paths = Object.keys(answers);
    served = 0;
    assert.deepEqual(await got(paths, { TARGET: "http://web.test", REPLACE }), answers);
    assert.equal(served, paths.length + 1); // there is one redirect
    await proxy.stop();
    const failed = Object.fromEntries(paths.map((path) => [path, "SOCKS5_PROXY_UNREACHABLE"]));
    assert.deepEqual(await got(paths, { TARGET: direct, REPLACE }), failed);
    assert.equal(served, paths.length + 1);
    await proxy.start();
  }
  assert(proxy.connections.every(({ request }) => request?.hostname === "web.test"));
} finally {
  await proxy.close();
  web.close();
  web.closeAllConnections();
}
console.log("all went through the proxy");

/** What each path of the project answers while it is served; what Next.js remembers is asked twice. */
async function got(paths, variables) {
  const args = [NEXT, "start", "--hostname", "127.0.0.1", "--port", "0"];
  const server = spawn(process.execPath, args, { env: env(variables), stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(server, "exit");
  try {
    const url = await address(server.stdout);
    const answers = {};
    for (const path of [...paths, ...paths.filter((path) => ["/cached", "/by/global"].includes(path))]) {
      const text = await (await fetch(url + path)).text();
      answers[path] = text.match(/<p>([^<]*)<\/p>/)?.[1] ?? text;
    }
    return answers;
  } finally {
    server.kill();
    await exited;
  }
}

/** Where it listens, once it is ready. */
async function address(output) {
  let url;
  for await (const line of createInterface({ input: output })) {
    url ??= line.match(/http:\S+/)?.[0];
    if (line.includes("Ready in")) return url;
  }
  throw new Error("Next.js did not start");
}

function env(variables) {
  return { ...process.env, NEXT_TELEMETRY_DISABLED: "1", PROXY: proxy.url, ...variables };
}
