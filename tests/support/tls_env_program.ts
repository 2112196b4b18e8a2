// What is said of a TLS server whose certificate nobody trusts, by each way of starting TLS: argv is the URL of a proxy
// and the address of the server. Prints a line for each.
import { get } from "node:https";
import process from "node:process";
import { Socks5Agent } from "../../agent/mod.ts";
import { Socks5Client } from "../../mod.ts";
import { paths } from "./tls_paths.ts";

const [proxy, address] = process.argv.slice(2) as [string, string];
const [hostname, port] = address.split(":") as [string, string];
const client = new Socks5Client(proxy);
const outcomes: Record<string, string> = {};

async function tried(name: string, trial: () => Promise<unknown>): Promise<void> {
  outcomes[name] = await trial().then(() => "taken", () => "refused");
}

function asked(options: object, agentOptions: object = {}): Promise<void> {
  const agent = new Socks5Agent(client, { keepAlive: false, ...agentOptions });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const request = get({ host: hostname, port, servername: "localhost", agent, ...options }, (response) => {
    response.resume().on("close", resolve);
  });
  request.on("error", reject);
  return promise;
}

for (const { name, transport, start } of paths) {
  await tried(name, async () => {
    const conn = await transport.connect({ hostname, port: Number(port) });
    (await start(conn, { serverName: "localhost" })).close();
  });
}
await tried("connect", async () => (await client.connect(address, { tls: { serverName: "localhost" } })).close());
await tried("startTls", async () => {
  (await (await client.connect(address)).startTls({ serverName: "localhost" })).close();
});
await tried("agent", () => asked({}));
await tried("agent, undefined", () => asked({ rejectUnauthorized: undefined }, { rejectUnauthorized: undefined }));
await tried("request: true", () => asked({ rejectUnauthorized: true }));
await tried("request: false", () => asked({ rejectUnauthorized: false }));
await tried("agent: false", () => asked({}, { rejectUnauthorized: false }));
await client.close();
console.log(JSON.stringify(outcomes));
