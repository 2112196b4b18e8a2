import { assertEquals } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { certificates } from "../support/certificates.ts";
import { evaluate } from "../support/child.ts";
import { quick, test } from "../support/test.ts";
import { startTls } from "../support/tls_targets.ts";

const { authority, otherAuthority, stranger } = certificates();
const adapters = ["node"];
if ("Deno" in globalThis) adapters.push("deno");
if ("Bun" in globalThis) adapters.push("bun");

for (const adapter of adapters) {
  test(`${adapter}Transport: caCerts are trusted besides the authorities of the runtime`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "socks5-"));
    const file = join(folder, "authority.pem");
    await writeFile(file, authority.cert);
    const targets = await Promise.all([startTls(), startTls({ certificate: stranger })]);
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: file, DENO_CERT: file };
    const code = program(adapter, targets.map((target) => target.port));
    const { stdout } = await promisify(execFile)(process.execPath, evaluate(code), { env });
    assertEquals(stdout.split(/\s+/).slice(0, 4), ["yes", "no", "yes", "yes"]);
    await Promise.all(targets.map((target) => target.close()));
    await rm(folder, { recursive: true });
  }, { skip: quick });
}

test("the check of a certificate is not the environment's to turn off", async () => {
  const target = await startTls();
  const env = { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: "0" };
  for (const adapter of adapters) {
    const code = program(adapter, [target.port]);
    const { stdout } = await promisify(execFile)(process.execPath, evaluate(code), { env });
    assertEquals(stdout.split(/\s+/).slice(0, 2), ["no", "no"]);
  }
  await target.close();
}, { skip: quick });

/** Says of each port whether TLS can be started there, without caCerts and then with another authority. */
function program(adapter: string, ports: number[]): string {
  return `
    import { ${adapter}Transport } from ${JSON.stringify(import.meta.resolve(`../../adapters/${adapter}/mod.ts`))};
    for (const caCerts of [undefined, [${JSON.stringify(otherAuthority.cert)}]]) {
      for (const port of ${JSON.stringify(ports)}) {
        const conn = await ${adapter}Transport.connect({ hostname: "127.0.0.1", port });
        const secure = await conn.startTls({ serverName: "localhost", caCerts }).catch(() => null);
        console.log(secure ? "yes" : "no");
        secure?.close();
      }
    }`;
}
