// One request with an agent, whose connection stays idle; the process is to end by itself.
import { get } from "node:http";
import { get as getSecure } from "node:https";
import process from "node:process";
import { Socks5Agent } from "../../agent/mod.ts";
import { Socks5Client } from "../../mod.ts";

const [proxy, url] = process.argv.slice(2) as [string, string];
const agent = new Socks5Agent(new Socks5Client(proxy), { rejectUnauthorized: false, timeout: 60_000 });
const ask = url.startsWith("https:") ? getSecure : get;
ask(url, { agent }, (response) => {
  response.resume().on("end", () => process.stdout.write(`${response.statusCode}`));
});
