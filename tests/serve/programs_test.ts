import { assertEquals, assertMatch } from "@std/assert";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LocalProxy } from "../../serve/mod.ts";
import { missing, runClient, withDirectory } from "../support/client_program.ts";
import { latin1, type ServeStage, withLocalProxy } from "../support/serve_stage.ts";
import { type Page, startSite } from "../support/serve_site.ts";
import { runRecipe } from "../support/recipes.ts";
import { createTestProxy } from "../../testing/mod.ts";
import { withTarget } from "../support/stage.ts";
import { startTarget } from "../support/targets.ts";
import { test } from "../support/test.ts";

const ALICE = { username: "alice", password: "open sesame" };
const USER = "alice:open sesame";

/** Tells what it was asked. */
const mirror: Page = ({ method, path, fields, body }) => ({
  type: "text/plain",
  body: `${method} ${path} ${fields["host"]} ${body.length}`,
});

// how curl is told of the local proxy, with a password of its own or without
const curls: Record<string, [serve: { credentials?: typeof ALICE }, args: (stage: ServeStage) => string[]]> = {
  "-x http://": [{}, ({ localProxy }) => ["-x", localProxy.url]],
  "-p": [{}, ({ localProxy }) => ["-p", "-x", localProxy.url]],
  "--socks5-hostname": [{}, ({ localProxy }) => ["--socks5-hostname", `127.0.0.1:${localProxy.port}`]],
  "-x http:// with a password": [
    { credentials: ALICE },
    ({ localProxy }) => ["-x", localProxy.url, "--proxy-user", USER],
  ],
  "-p with a password": [
    { credentials: ALICE },
    ({ localProxy }) => ["-p", "-x", localProxy.url, "--proxy-user", USER],
  ],
  "-p with a password, any scheme": [
    { credentials: ALICE },
    ({ localProxy }) => ["--proxy-anyauth", "-p", "-x", localProxy.url, "--proxy-user", USER],
  ],
  "--socks5-hostname with a password": [
    { credentials: ALICE },
    ({ localProxy }) => ["--socks5-hostname", `127.0.0.1:${localProxy.port}`, "--proxy-user", USER],
  ],
  "HTTP/1.0": [{}, ({ localProxy }) => ["-0", "-x", localProxy.url]],
};

for (const [name, [options, args]] of Object.entries(curls)) {
  test(
    `curl ${name}: several requests, with and without a body`,
    () =>
      withDirectory((directory) =>
        withTarget(
          startSite(mirror),
          (site) =>
            withLocalProxy({ proxy: { rules: { "web.test:80": site } }, serve: options }, async (stage) => {
              writeFileSync(join(directory, "body"), new Uint8Array(2_000_000));
              const common = ["-sS", "-m", "10", "-w", "\\n", ...args(stage)];
              const each = [
                [...common, "http://web.test/a?b"],
                [...common, "--data-binary", "@body", "http://web.test/c"],
                [...common, "http://web.test/d"],
              ];
              const { code, out, err } = await runClient(
                directory,
                "curl",
                [
                  "-q",
                  ...each.flatMap((it, i) => i === 0 ? it : ["--next", ...it]),
                ],
              );
              assertEquals([code, err], [0, ""]);
              assertEquals(out, "GET /a?b web.test 0\nPOST /c web.test 2000000\nGET /d web.test 0\n");
              assertEquals(new Set(stage.proxy.connections.map((it) => it.request!.hostname)), new Set(["web.test"]));
            }),
        )
      ),
    { skip: missing("curl") },
  );
}

test(
  "curl is told why there is no connection",
  () =>
    withDirectory((directory) =>
      withLocalProxy({ proxy: { rules: () => ({ rep: 5 }) } }, async ({ localProxy }) => {
        const tunnel = await runClient(directory, "curl", [
          "-q",
          "-sS",
          "-p",
          "-x",
          localProxy.url,
          "http://web.test/",
        ]);
        assertEquals(tunnel.code, 56);
        assertMatch(tunnel.err, /502/);
        const socks = ["-q", "-sS", "--socks5-hostname", `127.0.0.1:${localProxy.port}`, "http://web.test/"];
        assertMatch((await runClient(directory, "curl", socks)).err, /\(5\)/);
      })
    ),
  { skip: missing("curl") },
);

const H = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${H}Transfer-Encoding: chunked\r\n\r\n`;

// what old and careless servers answer, and curl takes
const careless: Record<string, string> = {
  "status 999": "HTTP/1.1 999 No\r\nContent-Length: 2\r\n\r\nok",
  "status 600": "HTTP/1.1 600 No\r\nContent-Length: 2\r\n\r\nok",
  "LF alone": "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
  "LF alone at one end": `${H}Content-Length: 2\n\r\nok`,
  "chunks with LF alone": `${CHUNKED}2\nok\n0\n\n`,
  "sizes with spaces": `${CHUNKED}2  \r\nok\r\n0  \r\n\r\n`,
  "identity": `${H}Transfer-Encoding: identity\r\n\r\nok`,
  "identity with a length": `${H}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok`,
  "identity, then chunked": `${H}Transfer-Encoding: identity, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
  "chunks of HTTP/1.0": `${CHUNKED.replace("1.1", "1.0")}2\r\nok\r\n0\r\n\r\n`,
  "a folded field": `${H}X: a\r\n b\r\nContent-Length: 2\r\n\r\nok`,
  "a space before the colon": `${H}Content-Length : 2\r\n\r\nok`,
  "a name that is none": `${H}X Y(z): 1\r\nContent-Length: 2\r\n\r\nok`,
  "control characters": "HTTP/1.1 200 O\x01K\r\nX: a\x1bb\x7f\r\nContent-Length: 2\r\n\r\nok",
  "no reason": "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
  "two spaces": "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
  "two lengths that agree": `${H}Content-Length: 2, 2\r\n\r\nok`,
};

for (const [name, answer] of Object.entries(careless)) {
  test(
    `curl gets the same answer with the local proxy as without: ${name}`,
    () =>
      withDirectory((directory) =>
        withTarget(
          startTarget((socket) => socket.once("data", () => socket.end(latin1(answer)))),
          (target) =>
            withLocalProxy({}, async ({ localProxy }) => {
              const url = `http://${target.address}/\xe9`;
              const curl = (...args: string[]) =>
                runClient(directory, "curl", ["-q", "-sS", "-m", "10", "-w", " %{http_code}", ...args, url]);
              const direct = await curl();
              assertMatch(direct.out, /^ok \d{3}$/);
              assertEquals(await curl("-x", localProxy.url), direct);
            }),
        )
      ),
    { skip: missing("curl") },
  );
}

/** A directory as a web server gives it. */
const files = (directory: string): Page => ({ path }) => {
  const file = join(directory, path.split("?")[0]!);
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return undefined;
  return { type: "application/octet-stream", body: readFileSync(file) };
};

async function makeRepository(directory: string): Promise<void> {
  const git = (...args: string[]) =>
    runClient(directory, "git", args, { GIT_CONFIG_NOSYSTEM: "1" }).then(({ code, err }) => assertEquals(code, 0, err));
  await git("init", "--quiet", "work");
  writeFileSync(join(directory, "work", "file"), "content\n".repeat(1_000));
  await git("-C", "work", "add", "file");
  await git("-C", "work", "-c", "user.name=x", "-c", "user.email=x@x.test", "commit", "--quiet", "-m", "first");
  await git("clone", "--quiet", "--bare", "work", "bare.git");
  await git("-C", "bare.git", "update-server-info");
}

const gits: Record<string, { scheme: string; args(url: string): string[]; env(url: string): Record<string, string> }> =
  {
    "http.proxy, plain HTTP": { scheme: "http", args: (url) => ["-c", `http.proxy=${url}`], env: () => ({}) },
    "ALL_PROXY, SOCKS5": {
      scheme: "http",
      args: () => [],
      env: (url) => ({ ALL_PROXY: url.replace("http", "socks5h") }),
    },
    "HTTPS_PROXY": { scheme: "https", args: () => [], env: (url) => ({ HTTPS_PROXY: url }) },
  };

for (const [name, { scheme, args, env }] of Object.entries(gits)) {
  test(`git clones through the local proxy by ${name}`, () =>
    withDirectory(async (directory) => {
      await makeRepository(directory);
      const tls = scheme === "https" ? await makeCertificate(directory) : undefined;
      await withTarget(startSite(files(directory), tls), async (site) => {
        const rules = { [tls ? "git.test:443" : "git.test:80"]: site };
        await withLocalProxy({ proxy: { rules } }, async ({ localProxy, proxy }) => {
          const clone = [...args(localProxy.url), "clone", "--quiet", `${scheme}://git.test/bare.git`, "clone"];
          const { code, err } = await runClient(directory, "git", clone, {
            GIT_CONFIG_NOSYSTEM: "1",
            GIT_SSL_CAINFO: join(directory, "cert.pem"),
            ...env(localProxy.url),
          });
          assertEquals(code, 0, err);
          assertEquals(readdirSync(join(directory, "clone")).sort(), [".git", "file"]);
          assertEquals(proxy.connections[0]!.request!.hostname, "git.test");
        });
      });
    }), { skip: missing("git", ...(scheme === "https" ? ["openssl"] : [])) });
}

test("the example for child processes works with git", () =>
  withDirectory(async (directory) => {
    await makeRepository(directory);
    await withTarget(startSite(files(directory)), async (site) => {
      const proxy = await createTestProxy({ rules: { "example.com:80": site } });
      try {
        const texts = {
          "socks5h://user:pass@proxy.example:1080": proxy.url,
          '"https://example.com/repository.git"]': `"--quiet", "http://example.com/bare.git", ${
            JSON.stringify(join(directory, "copy"))
          }]`,
        };
        assertEquals(await runRecipe("child-process", texts), ["0"]);
        assertEquals(readdirSync(join(directory, "copy")).sort(), [".git", "file"]);
      } finally {
        await proxy.close();
      }
    });
  }), { skip: missing("git") });

// how the runtime's own fetch is told of the local proxy
const fetches: Record<string, (localProxy: LocalProxy, ca: string) => { init: RequestInit; end?(): void }> = {
  deno: (localProxy, ca) => {
    const basicAuth = { username: ALICE.username, password: ALICE.password };
    const client = deno!.createHttpClient({ proxy: { url: localProxy.url, basicAuth }, caCerts: [ca] });
    return { init: { client } as RequestInit, end: () => client.close() };
  },
  bun: (localProxy, ca) => {
    const proxy = localProxy.url.replace("//", `//${ALICE.username}:${encodeURIComponent(ALICE.password)}@`);
    return { init: { proxy, tls: { ca }, keepalive: false } as RequestInit };
  },
};

type Client = { close(): void };
const deno = (globalThis as { Deno?: { createHttpClient(options: unknown): Client } }).Deno;
const runtime = deno ? "deno" : "Bun" in globalThis ? "bun" : "node";

test(
  "the runtime's own fetch goes through the local proxy, plain and with TLS",
  () =>
    withSites(({ directory, rules }) =>
      withLocalProxy({ proxy: { rules }, serve: { credentials: ALICE } }, async ({ localProxy, proxy }) => {
        const { init, end } = fetches[runtime]!(localProxy, readFileSync(join(directory, "cert.pem"), "utf8"));
        for (const scheme of ["http", "https"]) {
          const response = await fetch(`${scheme}://git.test/a`, { ...init, method: "POST", body: "body" });
          assertEquals(await response.text(), "POST /a git.test 4");
        }
        assertEquals(proxy.connections.map((it) => it.request!.port), [80, 443]);
        end?.();
        await localProxy.close();
      })
    ),
  { skip: runtime in fetches ? missing("openssl") : "its fetch knows no proxy" },
);

test(
  "Node's own fetch goes through the local proxy by HTTP_PROXY and HTTPS_PROXY",
  () =>
    withSites(({ directory, rules }) =>
      withLocalProxy({ proxy: { rules } }, async ({ localProxy, proxy }) => {
        const code = `for (const scheme of ["http", "https"]) {
        console.log(await (await fetch(scheme + "://git.test/a", { method: "POST", body: "body" })).text());
      }`;
        const { out, err } = await runClient(directory, "node", ["--input-type=module", "-e", code], {
          NODE_USE_ENV_PROXY: "1",
          NODE_EXTRA_CA_CERTS: join(directory, "cert.pem"),
          HTTP_PROXY: localProxy.url,
          HTTPS_PROXY: localProxy.url,
        });
        assertEquals(out, "POST /a git.test 4\nPOST /a git.test 4\n", err);
        assertEquals(proxy.connections.map((it) => it.request!.port), [80, 443]);
      })
    ),
  { skip: missing("node", "openssl") },
);

/** Runs `use` with git.test, plain and with TLS by a certificate in `cert.pem`. */
async function withSites(
  use: (sites: { directory: string; rules: Record<string, { port: number }> }) => Promise<void>,
): Promise<void> {
  await withDirectory(async (directory) => {
    const tls = await makeCertificate(directory);
    await withTarget(startSite(mirror, tls), (secure) =>
      withTarget(
        startSite(mirror),
        (site) => use({ directory, rules: { "git.test:80": site, "git.test:443": secure } }),
      ));
  });
}

async function makeCertificate(directory: string): Promise<{ cert: string; key: string }> {
  const { code, err } = await runClient(directory, "openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...[
      "-subj",
      "/CN=git.test",
      "-addext",
      "subjectAltName=DNS:git.test",
      "-addext",
      "basicConstraints=critical,CA:FALSE",
      "-keyout",
      "key.pem",
      "-out",
      "cert.pem",
    ],
  ]);
  assertEquals(code, 0, err);
  const read = (name: string) => readFileSync(join(directory, name), "utf8");
  return { cert: read("cert.pem"), key: read("key.pem") };
}
