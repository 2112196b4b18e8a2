import { assert, assertEquals } from "@std/assert";
import { writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { main } from "../../cli/mod.ts";
import { parseProxyList, Socks5Client } from "../../mod.ts";
import { startModule } from "../support/child.ts";
import { missing, runClient, withDirectory } from "../support/client_program.ts";
import { fakeIo } from "../support/cli.ts";
import { type Exits, startExits } from "../support/exits.ts";
import { findProgram, freePort } from "../support/real_process.ts";
import { redis as redisServer } from "../support/real_servers.ts";
import { recipeCode, runRecipe, withExample } from "../support/recipes.ts";
import { redisLibraries } from "../support/redis_clients.ts";
import { quick, test } from "../support/test.ts";
import { atRest, until } from "../support/wait.ts";

/** What the crawlers print of a page. */
interface Line {
  session: string;
  status: string;
  page: string;
  proxy: string;
}

function linesOf(printed: readonly string[]): Line[] {
  return printed.filter((line) => line.includes(" http://")).map((line) => {
    const [session, status, page, proxy] = line.split(" ");
    return { session: session!, status: status!, page: page!, proxy: proxy! };
  });
}

/** Where sessions lead to in this process, with the same list; without the exit that a site has blocked. */
async function exitsOf(sessions: readonly string[], { labels, list }: Exits, blocked?: number): Promise<string[]> {
  await using client = new Socks5Client(parseProxyList(list()));
  if (blocked !== undefined) client.suspend(labels[blocked]!, { for: 60_000, hostname: "shop.example" });
  const exits: string[] = [];
  for (const session of sessions) {
    const conn = await client.connect("shop.example:80", { session });
    conn.close();
    exits.push(`exit ${labels.indexOf(conn.proxy)}`);
  }
  return exits;
}

/** What a server says to a request on a connection of its own. */
function textOf(url: string): Promise<string> {
  return new Promise((resolve, reject) => get(url, { agent: false }, (it) => resolve(text(it))).on("error", reject));
}

/** Exits that refuse all of it, and how many pages the others give before they want a pause. */
const [REFUSING, MOST] = [5, 15];

/** At most so many requests are under way at an exit when it refuses the first one. */
const MAX_OPEN = 4;

test("the crawler of docs/many-proxies.md gets every page through 200 proxies, whatever single ones do", async () => {
  const port = await freePort();
  let metrics: Promise<string> | undefined;
  await using exits = await startExits(
    { count: 200, down: 5, listed: (nth) => nth === 1 ? 100 : 200 },
    async ({ exit, visits }) => {
      if (visits.length >= 300) await until(() => exits.listRead >= 2); // in the middle of it, the list is another one
      if (visits.length >= 600) await (metrics ??= textOf(`http://127.0.0.1:${port}/metrics`));
      if (exit < REFUSING) return 403;
      return visits.filter((it) => it.exit === exit).length < MOST ? 200 : 429;
    },
  );
  const printed = await runRecipe("crawler", {
    "https://seller.example/proxies.txt": exits.listUrl,
    "60_000": "50",
    "9464": `${port}`,
  });
  const lines = linesOf(printed);
  assertEquals(lines.length, 1_000);
  assertEquals(new Set(lines.map(({ page }) => page)).size, 1_000);
  assertEquals(lines.filter(({ status }) => status !== "200"), []);
  assert(exits.peak <= MAX_OPEN, `${exits.peak} connections at one proxy`);
  // an exit that has refused gets no more requests but those that were under way
  for (const exit of new Set(exits.visits.filter(({ status }) => status !== 200).map((visit) => visit.exit))) {
    const statuses = exits.visits.filter((visit) => visit.exit === exit).map(({ status }) => status);
    const after = statuses.slice(statuses.findIndex((status) => status !== 200) + 1);
    assert(after.length < 2 * MAX_OPEN, `exit ${exit}: ${statuses}`);
  }
  // who had to pause was one of those that gave pages
  assert(exits.visits.some(({ status }) => status === 429));
  // a session moves when its exit has refused, and once because of the new list
  const refused = new Set(exits.visits.filter(({ status }) => status !== 200).map(({ exit }) => exits.labels[exit]));
  const sessions = new Set(lines.map(({ session }) => session));
  assertEquals(sessions.size, 50);
  for (const session of sessions) {
    const used = lines.filter((line) => line.session === session).map(({ proxy }) => proxy);
    const left = used.filter((proxy, i) => i + 1 < used.length && proxy !== used[i + 1] && !refused.has(proxy));
    assert(left.length <= 1, `${session}: ${used}`);
  }
  // those that came with the second list are used
  assert(exits.visits.some(({ exit }) => exit >= 100));
  const families = await metrics ?? "";
  assert(families.includes(`socks5_proxy_connects_total{proxy="${lines[0]!.proxy}"}`), families);
  assert(families.endsWith("# EOF\n"));
  await atRest(() => exits.listRead); // the last download may still run
}, { skip: quick });

test(
  "the crawler of three machines gets every page once, and no proxy has more connections than its limit over all",
  async () => {
    const pages = Array.from({ length: 300 }, (_, i) => `http://shop.example/products/${i}`);
    let refusing: number | undefined;
    await using exits = await startExits({ count: 40 }, async ({ exit }) => {
      await until(() => exits.listRead === 3); // every machine has begun
      return exit === (refusing ??= exit) ? 403 : 200;
    });
    await using server = await redisServer.start();
    const { hostname, port, credentials } = server;
    const { send, close } = await redisLibraries[0]!.connect(server);
    try {
      await send("RPUSH", "pages", ...pages);
      const code = recipeCode("crawler-redis", {
        "https://seller.example/proxies.txt": exits.listUrl,
        "length: 20": "length: 4", // few of them lead to one proxy, whose places are kept
        "hostname()": "globalThis.process.pid",
        "redis.example:6379": `:${encodeURIComponent(credentials!.password)}@${hostname}:${port}`,
      });
      const machines = await withExample(code, (file) => {
        const start = () => startModule(`await import(${JSON.stringify(pathToFileURL(file).href)});`).ended;
        return Promise.all([start(), start(), start()]);
      });
      assertEquals(machines.map(({ code }) => code), [0, 0, 0], machines.map(({ written }) => written).join("\n"));
      const each = machines.map(({ written }) => linesOf(written.trimEnd().split("\n")));
      const lines = each.flat();
      assertEquals(lines.map(({ page }) => page).toSorted(), pages.toSorted());
      assertEquals(lines.filter(({ status }) => status !== "200"), []);
      assert(exits.peak <= MAX_OPEN, `${exits.peak} connections at one proxy`);
      assert(each.every((its) => its.length > 0), "one machine has done nothing");
      // a session leads to the same proxy everywhere
      const sample = lines.slice(0, 20);
      const used = sample.map(({ proxy }) => `exit ${exits.labels.indexOf(proxy)}`);
      assertEquals(used, await exitsOf(sample.map(({ session }) => session), exits, refusing));
      const bans = (await send("ZRANGE", "{crawler}:suspended", "0", "-1") as string[]).map((it) => JSON.parse(it));
      assertEquals(bans, [["application", exits.labels[refusing!], "shop.example"]]);
    } finally {
      close();
    }
  },
  { skip: quick || redisLibraries[0]!.missing || redisServer.missing },
);

test("socks5 serve gives each user name of curl the exit of its session", async () => {
  await using exits = await startExits({ count: 8 }, () => 200);
  await withDirectory(async (directory) => {
    const list = join(directory, "proxies.txt");
    writeFileSync(list, exits.list());
    const port = `${await freePort()}`;
    const [command, ...args] = recipeCode("many-serve", { "proxies.txt": list, "8118": port }).trim().split(" ");
    assertEquals(command, "socks5");
    const io = fakeIo();
    const running = main(args, io);
    await io.until(() => io.out !== "");
    const { code, out, err } = await runClient(directory, "sh", ["-ec", recipeCode("many-curl", { "8118": port })]);
    assertEquals([code, err], [0, ""]);
    io.signal("SIGTERM");
    assertEquals(await running, 0);
    const expected = await exitsOf(["ann", "ann", "bob"], exits);
    assertEquals(Array.from(out.matchAll(/exit \d+/g), String), expected);
  });
}, { skip: missing("curl", "sh") });

const chromium = findProgram("chromium") ?? "chromium";

test("the contexts of Playwright keep their exits, and leave one that a site has blocked", async () => {
  let refusing: number | undefined;
  await using exits = await startExits({ count: 8 }, ({ exit }) => exit === (refusing ??= exit) ? 403 : 200);
  await withDirectory(async (directory) => {
    const list = join(directory, "proxies.txt");
    writeFileSync(list, exits.list());
    const launch = JSON.stringify({ executablePath: chromium, args: ["--no-sandbox"] });
    const code = recipeCode("many-playwright", {
      '"proxies.txt"': JSON.stringify(list),
      "launch()": `launch(${launch})`,
    });
    await withExample(code, async (file) => {
      const { code, out, err } = await runClient(directory, "node", [file]);
      assertEquals([code, err], [0, ""]);
      const titles = Array.from(out.matchAll(/exit \d+/g), String);
      assertEquals(titles, await exitsOf(["ann", "bob", "cid"], exits, refusing), JSON.stringify(exits.visits));
    });
  });
}, { skip: missing("chromium", "node") });
