import { readFileSync } from "node:fs";

const { devDependencies } = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
);

const titles = {
  ours: "`@x/socks5`",
  floor: "floor",
  direct: "direct",
  "ours-agent": "`Socks5Agent`",
  "direct-agent": "direct, `http.Agent`",
  "ours-fetch": "`createFetch()`",
  "direct-fetch": "direct, `fetch()`",
  "deno-fetch": "`Deno.createHttpClient()`",
  "bun-fetch": "`fetch({ proxy })`, an HTTP proxy",
  "ours-undici": "`createConnector()`",
  "direct-undici": "direct, undici",
  "ours-serve": "`serve()`",
  tinyproxy: "tinyproxy",
  ...Object.fromEntries(
    Object.entries(devDependencies).map((
      [name, version],
    ) => [name, `${name} ${version}`]),
  ),
};

/** Clients that give a byte pipe. */
export const pipes = ["ours", "floor", "direct", "socks", "bsocks", "socksjs"];

/** Clients that are measured in the import part. */
export const imported = [
  "ours",
  "socks",
  "bsocks",
  "socksjs",
  "socks-proxy-agent",
];

/** Everybody else. */
export const peers = Object.keys(devDependencies);

/** Clients that give the answer to an HTTP request. */
export const http = ["socks-proxy-agent", "fetch-socks", "undici"];

/** A row for a client; `labels` are its first cells, `more` what the part adds, such as what it asks the client for. */
export function rowOf(client, words = [], more = {}) {
  return {
    name: [client, ...words].filter((word) => word !== "").join(", "),
    client,
    labels: [titles[client], ...words],
    ...more,
  };
}

export const floor = rowOf("floor");
