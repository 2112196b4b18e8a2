import { assertEquals } from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { PROGRAM } from "../support/cli.ts";
import { findProgram } from "../support/real_process.ts";
import { sshd } from "../support/real_servers.ts";
import { withProxy } from "../support/stage.ts";
import { digestOf, payload } from "../support/targets.ts";
import { test } from "../support/test.ts";

const skip = sshd.missing || (!findProgram("ssh") && "ssh not installed");
const ALICE = { username: "alice", password: "sesame" };

/** Runs `use` with an sshd and what lets ssh into it. */
async function withSshd(use: (port: number, options: readonly string[]) => Promise<void>): Promise<void> {
  const server = await sshd.start();
  try {
    const options = [
      "StrictHostKeyChecking=no",
      "UserKnownHostsFile=/dev/null",
      "IdentityAgent=none",
      "BatchMode=yes",
      "LogLevel=ERROR",
      `IdentityFile=${server.directory}/user`,
      `Port=${server.port}`,
    ].flatMap((option) => ["-o", option]);
    await use(server.port, ["-F", "none", ...options]);
  } finally {
    await server.stop();
  }
}

/** Runs ssh through `socks5 connect`, and gives what came out. */
async function ssh(args: readonly string[], connect: string, env: Record<string, string>, stdin?: Uint8Array) {
  const program = PROGRAM.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ").replaceAll("%", "%%");
  const options = ["-o", `ProxyCommand=${program} connect ${connect}`];
  const child = spawn("ssh", [...options, ...args], { env: { ...process.env, ...env } });
  const output = { out: "", err: "" };
  child.stdout.on("data", (chunk) => output.out += chunk);
  child.stderr.on("data", (chunk) => output.err += chunk);
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  const [code] = await once(child, "close");
  return { code, ...output };
}

test(
  "ssh goes through socks5 connect: commands, their input and output, and what they end with",
  () =>
    withSshd((port, options) =>
      withProxy({ credentials: ALICE, rules: { "host.test:22": { port } } }, async (proxy) => {
        const env = { SOCKS5_PROXY: proxy.url };
        const to = (host: string) => [...options, host];
        const sent = payload(4 << 20);
        const [name, sum] = await Promise.all([
          ssh([...to("host.test"), "echo hello; exit 7"], "%h 22", env),
          ssh([...to("127.0.0.1"), "sha256sum; head -c 4194304 /dev/zero | sha256sum"], "%h:%p", env, sent),
        ]);
        assertEquals(name, { code: 7, out: "hello\n", err: "" });
        const hex = (bytes: Uint8Array) => digestOf(bytes).split(" ")[1]!.trim();
        assertEquals(sum, { code: 0, out: `${hex(sent)}  -\n${hex(new Uint8Array(4 << 20))}  -\n`, err: "" });
        const refused = await ssh([...to("other.test"), "true"], "%h %p", env);
        assertEquals([refused.code, refused.err.split("\n")[0]!.startsWith("socks5: Cannot connect to other.test:")], [
          255,
          true,
        ]);
      })
    ),
  { skip },
);
