import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { certificates } from "../support/certificates.ts";
import { startModule } from "../support/child.ts";
import { danteWithKerberos, kerberosEnvironment, SERVICE, USER } from "../support/kerberos.ts";
import { library } from "../support/library.ts";
import type { RealProxy } from "../support/real_program.ts";
import { withRealProxy } from "../support/real_stage.ts";
import { recipeCode, withExample } from "../support/recipes.ts";
import { withTarget } from "../support/stage.ts";
import { startEcho, startTarget, type Target } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { startTls } from "../support/tls_targets.ts";

// The method of docs/auth-methods.md. Its programs have processes of their own, since Kerberos reads the environment that
// a process was started with.

const LEVELS = { integrity: 1, confidentiality: 2 } as const;
const all = danteWithKerberos();
const missing = (await library("koffi")).missing || all.missing;

test("the example for Kerberos works through dante with a KDC, which knows who the user is", async () => {
  await withTarget(startEcho(), (echo) =>
    withRealProxy(all, async (dante) => {
      const code = recipeCode("gssapi", { ...textsFor(dante), "echo.example:7": echo.address });
      assertEquals(await run(code, dante), "hello\n");
      assertStringIncludes(readFileSync(join(dante.directory!, "danted-gssapi.log"), "utf8"), USER);
    }));
}, { skip: missing });

const SECRET = "a secret of sixteen letters";

for (const [name, level] of Object.entries(LEVELS)) {
  const reads = level === 1 ? "reads it and" : "reads nothing and";

  test(
    `Kerberos with ${name} carries a megabyte there and back, and TLS; who is on the way ${reads} changes nothing`,
    async () => {
      const say = `
      const said = await client.connect(ECHO);
      await said.write(new TextEncoder().encode(SECRET));
      const answer = await said.read(buffer).catch(({ cause }) => cause.message);
      console.log(typeof answer === "string" ? answer : new TextDecoder().decode(buffer.subarray(0, answer)));
      said.close();`;
      const carry = `
      const whole = Uint8Array.from({ length: 1_000_000 }, (_, i) => i * 31 + (i >> 8));
      const tunnel = await client.connect(ECHO);
      const writing = tunnel.write(whole).then(() => tunnel.closeWrite());
      let [at, wrong] = [0, 0];
      for (let n; (n = await tunnel.read(buffer)) !== null; at += n) {
        for (let i = 0; i < n; i++) wrong += Number(buffer[i] !== whole[at + i]);
      }
      await writing;
      tunnel.close();
      const secure = await client.connect(SECURE, { tls: { caCerts: [CA], serverName: "localhost" } });
      const n = await secure.read(buffer);
      secure.close();
      console.log(at, wrong, new TextDecoder().decode(buffer.subarray(0, n)));`;
      await withTarget(startEcho(), (echo) =>
        withTarget(
          startTls({ certificate: certificates().both }, (socket) => socket.end("over TLS")),
          (secure) =>
            withRealProxy(all, async (dante) => {
              const constants = {
                ECHO: echo.address,
                SECURE: secure.address,
                CA: certificates().authority.cert,
                SECRET,
              };
              const seen: Uint8Array[] = [];
              await withTarget(startWay(dante, seen), async (way) => {
                const said = await run(program(way, level, constants, say + carry), dante);
                assertEquals(said, `${SECRET}\n1000000 0 over TLS\n`);
              });
              assertEquals(
                new TextDecoder("latin1").decode(Uint8Array.from(seen.flatMap((it) => [...it]))).includes(SECRET),
                level === 1,
              );
              await withTarget(startWay(dante, [], true), async (way) => {
                assertStringIncludes(await run(program(way, level, constants, say), dante), "A token had an invalid");
              });
            }),
        ));
    },
    { skip: missing },
  );
}

test("a client that wants confidentiality refuses a proxy that takes integrity alone", async () => {
  await withRealProxy(danteWithKerberos("integrity"), async (dante) => {
    const code = `console.log(await client.connect("127.0.0.1:1").catch((error) => error.code))`;
    assertEquals(await run(program(dante, 1, {}, code), dante), "SOCKS5_TARGET_REFUSED\n");
    assert(["SOCKS5_AUTH_FAILED\n", "SOCKS5_AUTH_REFUSED\n"].includes(await run(program(dante, 2, {}, code), dante)));
  });
}, { skip: missing });

test("without a ticket nothing is sent, and the cause says what Kerberos says", async () => {
  await withRealProxy(all, async (dante) => {
    const code = `
      const error = await client.connect("127.0.0.1:1").catch((error) => error);
      console.log(error.code, error.cause.message);`;
    const nobody = { KRB5_CLIENT_KTNAME: "FILE:/nonexistent" };
    const said = await run(program(dante, 2, {}, code), dante, nobody);
    assertStringIncludes(said, "SOCKS5_AUTH_FAILED");
    assertStringIncludes(said, "No credentials were supplied");
  });
}, { skip: missing });

/** What puts the proxy of a test in place of that of the example. */
function textsFor({ port }: Pick<RealProxy, "port">): Record<string, string> {
  return { "proxy.example:1080": `127.0.0.1:${port}`, "rcmd@proxy.example": SERVICE };
}

/** A program with the method of the example, a `client` with it, a `buffer` and some constants. */
function program(
  at: Pick<RealProxy, "port">,
  level: number,
  constants: Record<string, string>,
  code: string,
): string {
  const example = recipeCode("gssapi", textsFor(at));
  const before = example.slice(0, example.indexOf("const conn ="));
  const given = Object.entries(constants).map(([name, value]) => `const ${name} = ${JSON.stringify(value)};\n`);
  const client = before.replace(`${JSON.stringify(SERVICE)}, 2`, `${JSON.stringify(SERVICE)}, ${level}`);
  return `${client}${given.join("")}const buffer = new Uint8Array(65_536);\n${code}\nawait client.close();\n`;
}

/** Runs a program as a user of the realm of that proxy, and gives what it wrote. */
function run(code: string, { directory }: RealProxy, environment: Record<string, string> = {}): Promise<string> {
  return withExample(code, async (file) => {
    const more = { ...kerberosEnvironment(directory!), ...environment };
    Object.assign(process.env, more);
    const child = startModule(`await import(${JSON.stringify(pathToFileURL(file).href)})`);
    for (const name of Object.keys(more)) delete process.env[name];
    const { code, written } = await child.ended;
    assertEquals([code, code === 0 ? "" : written], [0, ""]);
    return written;
  });
}

/** A way to a proxy on which somebody listens, and perhaps changes a byte of each message from the proxy after the reply. */
function startWay({ port }: RealProxy, seen: Uint8Array[], changes = false): Promise<Target> {
  return startTarget((socket) => {
    let messages = 0;
    const onward = connect(port, "127.0.0.1");
    onward.on("data", (chunk: Uint8Array) => {
      seen.push(chunk);
      if (changes && chunk[1] === 3 && messages++ > 0) chunk[chunk.length - 1]! ^= 1;
      socket.write(chunk);
    }).on("error", () => {}).on("close", () => socket.destroy());
    socket.on("data", (chunk: Uint8Array) => {
      seen.push(chunk);
      onward.write(chunk);
    }).on("end", () => onward.end()).on("error", () => {}).on("close", () => onward.destroy());
  });
}
