// Run by fetch_direct_test.ts in an environment of its own: fetches through a proxy and prints what came of it.
import process from "node:process";
import { createFetch } from "../../fetch/mod.ts";
import { Socks5Client } from "../../mod.ts";

const [proxy = "", late = "{}", ...urls] = process.argv.slice(2);
const fetch = createFetch(new Socks5Client(proxy, { retry: 0 }));
Object.assign(process.env, JSON.parse(late));
const results: string[] = [];
for (const url of urls) {
  try {
    results.push(await (await fetch(url)).text());
  } catch (error) {
    const { name, cause } = error as Error & { cause?: { code?: string } };
    results.push(`${name} ${cause?.code}`);
  }
}
console.log(JSON.stringify(results)); // and ends, although nothing was closed
