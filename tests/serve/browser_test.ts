import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { serve } from "../../serve/mod.ts";
import { missing, runClient, withDirectory } from "../support/client_program.ts";
import { bitmap, type Page, startSite } from "../support/serve_site.ts";
import { withLocalProxy } from "../support/serve_stage.ts";
import { createTestProxy } from "../../testing/mod.ts";
import { findProgram } from "../support/real_process.ts";
import { danteWithAccount } from "../support/real_proxies.ts";
import { withClient, withRealProxy } from "../support/real_stage.ts";
import { withTarget } from "../support/stage.ts";
import { recipeCode, withExample } from "../support/recipes.ts";
import { test } from "../support/test.ts";

const script = fileURLToPath(new URL("../support/browser.mjs", import.meta.url));
const chromium = findProgram("chromium") ?? "chromium";
const absent = missing("chromium", "node");

type Visit = { url: string; credentials?: { username: string; password: string } };

/** The titles of the pages that one browser comes to, with a profile that is removed. */
async function browse(proxy: string, visits: Visit[]): Promise<string[]> {
  let titles: string[] = [];
  await withDirectory(async (directory) => {
    const { code, out, err } = await runClient(directory, "node", [
      script,
      JSON.stringify({ chromium, proxy, visits }),
    ]);
    assertEquals([code, err], [0, ""]);
    titles = JSON.parse(out);
  });
  return titles;
}

const [width, height] = [1_280, 1_366]; // 5 MiB

const html = `<!doctype html><title>loading</title><body><script>
  const image = new Image();
  const seen = new Promise((resolve, reject) => (image.onload = () => resolve(image.naturalWidth), image.onerror = reject));
  image.src = "/image.bmp";
  const socket = new WebSocket("ws://" + location.host + "/ws");
  const heard = new Promise((resolve, reject) => (socket.onmessage = (it) => resolve(it.data), socket.onerror = reject));
  socket.onopen = () => socket.send("hello");
  const posted = fetch("/post", { method: "POST", body: "x".repeat(100000) }).then((it) => it.text());
  Promise.all([seen, heard, posted])
    .then((it) => document.title = "done " + it.join(), (it) => document.title = "done failed " + it);
</script>`;

const page: Page = ({ path, body }) => {
  if (path === "/") return { type: "text/html", body: html };
  if (path === "/image.bmp") return { type: "image/bmp", body: bitmap(width, height) };
  return path === "/post" ? { type: "text/plain", body: String(body.length) } : undefined;
};

test(
  "Chromium loads a page, a picture of 5 MiB and a WebSocket through the local proxy and dante with a password",
  () =>
    withTarget(
      startSite(page),
      (site) =>
        withRealProxy(danteWithAccount, (proxy) =>
          withClient(proxy.url, {}, async (client) => {
            const localProxy = await serve(client);
            try {
              const url = `http://${site.address}/`;
              for (const proxy of [localProxy.url, localProxy.url.replace("http", "socks5")]) {
                assertEquals(await browse(proxy, [{ url }]), [`done ${width},hello,100000`], proxy);
              }
            } finally {
              await localProxy.close();
            }
          })),
    ),
  { skip: absent || danteWithAccount.missing },
);

test(
  "Playwright gives each context an identity of its own at the proxy",
  () =>
    withTarget(startSite(page), (site) =>
      withLocalProxy(
        { proxy: { credentials: () => 0, rules: () => site }, serve: { credentials: "forward" } },
        async ({ localProxy, proxy }) => {
          const visits = ["ann", "bob"].map((username) => ({
            url: `http://${username}.test/`,
            credentials: { username, password: `${username}: pässword` },
          }));
          const titles = await browse(localProxy.url, visits);
          assertEquals(titles, visits.map(() => `done ${width},hello,100000`));
          const seen = proxy.connections.map((it) => `${it.request?.hostname} ${it.credentials?.username}`);
          assertEquals(new Set(seen), new Set(["ann.test ann", "bob.test bob"]));
          assertEquals(proxy.connections[0]!.credentials!.password.endsWith(": pässword"), true);
        },
      )),
  { skip: absent },
);

const PROXY = "socks5h://user:pass@proxy.example:1080";
const launch = `launch({ executablePath: ${JSON.stringify(chromium)}, args: ["--no-sandbox"]`;
const hello: Page = ({ path }) =>
  path === "/" ? { type: "text/html", body: "<!doctype html><title>hello</title>" } : undefined;

const examples: Record<string, (proxy: string) => string> = {
  "of docs/serve.md": (proxy) => recipeCode("playwright", { [PROXY]: proxy, "launch({": `${launch},` }),
  "of docs/serve.md, with identities": (proxy) =>
    recipeCode("playwright-contexts", { "socks5h://proxy.example:1080": proxy, "launch(": `${launch} }` }),
  "of docs/migrating.md": (proxy) => recipeCode("from-proxy-chain", { [PROXY]: proxy, "launch({": `${launch},` }),
};

for (const [name, code] of Object.entries(examples)) {
  test(`the example for Playwright ${name} works`, () =>
    withTarget(startSite(hello), async (site) => {
      const proxy = await createTestProxy({ credentials: () => 0, methods: [2, 0], rules: () => site });
      try {
        const { hostname, port } = proxy;
        await withExample(code(`socks5h://${hostname}:${port}`), (file) =>
          withDirectory(async (directory) => {
            const { code, out, err } = await runClient(directory, "node", [file]);
            assertEquals([code, out], [0, "hello\n"], err);
          }));
        assertEquals(proxy.connections.map((it) => it.request?.hostname).includes("example.com"), true);
      } finally {
        await proxy.close();
      }
    }), { skip: absent });
}
