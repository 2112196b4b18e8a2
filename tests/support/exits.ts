import { createServer, type ServerResponse } from "node:http";
import { createTestProxy, type TestProxy } from "../../testing/mod.ts";
import { startWeb, type Web } from "./http_server.ts";
import { listening } from "./targets.ts";

/** A request as the site got it: from which exit, and what it answered. */
export interface Visit {
  readonly exit: number;
  readonly path: string;
  readonly status: number;
}

/** Many proxies, each with an exit that a site can tell from the others, and a server with the list of them. */
export interface Exits extends AsyncDisposable {
  readonly proxies: readonly TestProxy[];
  /** `"host:port"` of each proxy. */
  readonly labels: readonly string[];
  /** All requests that the site got, oldest first. */
  readonly visits: readonly Visit[];
  /** The most connections that a proxy has had at a time. */
  readonly peak: number;
  /** Where the list is. */
  readonly listUrl: string;
  /** How often the list was read. */
  readonly listRead: number;
  /** The list as sellers write it: `host:port:user:pass` on each line. */
  list(count?: number): string;
}

/** What the site says to a request: a status, and with 429 after how many seconds it may come again. */
export type Site = (visit: { exit: number; path: string; visits: readonly Visit[] }) => number | Promise<number>;

/** The port that nobody listens on: a proxy that is down. */
const DOWN = 1;

/**
 * Starts `count` proxies that lead every target to one site; the last `down` of the list do not exist. `listed` says how
 * many of them the list has when it is read for the nth time.
 */
export async function startExits(
  { count, down = 0, listed = () => count }: { count: number; down?: number; listed?: (nth: number) => number },
  site: Site,
): Promise<Exits> {
  const visits: Visit[] = [];
  const webs: Web[] = [];
  const proxies: TestProxy[] = [];
  let [peak, listRead] = [0, 0];
  for (let exit = 0; exit < count - down; exit++) {
    const web = await startWeb(async ({ url }, response) => {
      const path = url!;
      const status = await site({ exit, path, visits });
      visits.push({ exit, path, status });
      answer(response, status, exit);
    });
    const proxy: TestProxy = await createTestProxy({
      credentials: { username: "user", password: "pass" },
      rules() {
        peak = Math.max(peak, proxy.open);
        return { port: web.port };
      },
    });
    webs.push(web);
    proxies.push(proxy);
  }
  const labels = Array.from({ length: count }, (_, i) => `127.0.0.1:${proxies[i]?.port ?? DOWN + i}`);
  const list = (length = count) => labels.slice(0, length).map((label) => `${label}:user:pass\n`).join("");
  const lists = await listening(createServer((_, response) => response.end(list(listed(++listRead)))));
  return {
    proxies,
    labels,
    visits,
    get peak() {
      return peak;
    },
    get listRead() {
      return listRead;
    },
    listUrl: `http://${lists.address}/`,
    list,
    async [Symbol.asyncDispose]() {
      await Promise.all([lists, ...proxies, ...webs].map((it) => it.close()));
    },
  };
}

function answer(response: ServerResponse, status: number, exit: number): void {
  if (status === 429) response.setHeader("retry-after", 60);
  response.writeHead(status, { "content-type": "text/html" }).end(`<!doctype html><title>exit ${exit}</title>`);
}
