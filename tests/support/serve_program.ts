// Run by files_test.ts in a process of its own: serves a local proxy until it is killed, and says what it is told.
import process from "node:process";
import { serve, type ServeOptions } from "../../serve/mod.ts";
import { Socks5Client } from "../../mod.ts";

// Deno makes ready for signals within its first second, and panics if there is no file for that
process.on("SIGINT", () => process.exit());
const [proxy = "", options = "{}"] = process.argv.slice(2);
const client = new Socks5Client(proxy, { retry: 0, pool: { maxOpen: Infinity } });
const onError = (error: Error) => console.log(`told: ${error.message}`);
const localProxy = await serve(client, { ...JSON.parse(options) as ServeOptions, onError });
console.log(`port: ${localProxy.port}`);
