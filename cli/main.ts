/**
 * The program `socks5`: running or importing this module starts the command line with the arguments of the process, and
 * ends the process. What imports a function takes `main` from `./cli`.
 *
 * ```sh
 * deno run -A jsr:@x/socks5/cli/main check socks5h://127.0.0.1:9050 example.com:443
 * node node_modules/@x/socks5/cli/main.js check socks5h://127.0.0.1:9050 example.com:443
 * ```
 *
 * @module
 */
import process from "node:process";
import { main } from "./mod.ts";
import { redactArgs } from "./proxies.ts";

const args = process.argv.slice(2);
// Deno and Node write it over the arguments, which all users of the machine can read
process.title = `socks5 ${redactArgs(args)}`;
if ("Bun" in globalThis && redactArgs(args) !== args.join(" ")) {
  process.stderr.write("socks5: on Bun the list of processes shows the password; SOCKS5_PROXY or --proxies hides it\n");
}
main(args).then((code) => process.exit(code));
