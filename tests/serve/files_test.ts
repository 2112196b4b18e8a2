import { assert, assertEquals } from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { createTestProxy } from "../../testing/mod.ts";
import { Changes } from "../../testing/changes.ts";
import { text } from "../support/contract.ts";
import { readHead } from "../support/serve_stage.ts";
import { connectRaw, type RawClient } from "../support/raw_client.ts";
import { quick, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const FILES = 120;
const CLIENTS = 400;

const PROGRAM = [
  process.execPath,
  ...("Deno" in globalThis
    ? ["run", "--allow-net=127.0.0.1", "--allow-env", "--allow-read=/dev/null", "--quiet", "--no-lock", "--no-check"]
    : []),
  fileURLToPath(new URL("../support/serve_program.ts", import.meta.url)),
];

interface Stage {
  dial(said?: string): Promise<RawClient>;
  /** How many files the local proxy has open. */
  files(): number;
  out(): string;
  until(condition: () => boolean): Promise<void>;
}

/** Runs a local proxy in a process that may have 120 files. */
async function withFewFiles(options: object, use: (stage: Stage) => Promise<void>): Promise<void> {
  await using proxy = await createTestProxy({ rules: () => "echo" });
  const command = `ulimit -n ${FILES}; exec "$@"`;
  const args = ["-c", command, "sh", ...PROGRAM, proxy.url, JSON.stringify(options)];
  const child = spawn("sh", args, { stdio: ["ignore", "pipe", "pipe"] });
  const gone = once(child, "close");
  const watch = new Changes();
  let out = "";
  gone.then(() => watch.notify());
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      out += chunk;
      watch.notify();
    });
  }
  const until = (condition: () => boolean) => watch.until(condition, 20_000);
  try {
    await until(() => /^port: \d+$/m.test(out) || child.exitCode !== null);
    const port = Number(/^port: (\d+)$/m.exec(out)?.[1] ?? assert(false, out));
    const dial = async (said = "") => {
      const raw = await connectRaw({ hostname: "127.0.0.1", port });
      if (said !== "") await raw.write(new TextEncoder().encode(said));
      return raw;
    };
    await use({ dial, until, out: () => out, files: () => readdirSync(`/proc/${child.pid}/fd`).length });
    assertEquals(child.exitCode, null, out);
  } finally {
    child.kill("SIGKILL");
    await gone;
  }
}

const CONNECT = "CONNECT echo.test:7 HTTP/1.1\r\n\r\nping";

/** Whether a client gets its tunnel. */
async function serves({ dial }: Stage): Promise<boolean> {
  const raw = await dial(CONNECT);
  try {
    return (await readHead(raw)).startsWith("HTTP/1.1 200 ") && text(await raw.read(4)) === "ping";
  } catch {
    return false; // hung up on
  } finally {
    raw.close();
    await raw.finish();
  }
}

const dialMany = (stage: Stage, said?: string) => Promise.all(Array.from({ length: CLIENTS }, () => stage.dial(said)));

async function closeAll(clients: readonly RawClient[]): Promise<void> {
  for (const it of clients) it.close();
  await Promise.all(clients.map((it) => it.finish()));
}

const skip = quick || process.platform !== "linux" && "the files of a process are counted in /proc";

for (const [name, said] of [["say nothing", ""], ["want a tunnel", CONNECT]] as const) {
  test(
    `a local proxy whose files ran out serves again: ${CLIENTS} clients that ${name}`,
    () =>
      withFewFiles({ headTimeout: 60_000 }, async (stage) => {
        assert(await serves(stage));
        const clients = await dialMany(stage, said);
        await until(() => stage.files() >= FILES - 2, () => `${stage.files()} files`);
        await stage.until(() => stage.out().includes("told: "));
        await closeAll(clients);
        await until(() => serves(stage), () => stage.out());
        assertEquals(stage.out().match(/^told: .*$/gm), [
          "told: The process has run out of files: clients have to wait, or are refused",
        ]);
      }),
    { skip },
  );
}

test(
  `maxClients keeps below the files: ${CLIENTS} clients that say nothing make room for one that does`,
  () =>
    withFewFiles({ headTimeout: 60_000, maxClients: 30 }, async (stage) => {
      const clients = await dialMany(stage);
      assert(await serves(stage));
      assert(stage.files() < FILES - 30, `${stage.files()} files`);
      await stage.until(() => stage.out().includes("told: "));
      await closeAll(clients);
      assert(await serves(stage));
      assertEquals(stage.out().match(/^told: .*$/gm), [
        "told: There are 30 clients, which is maxClients: further ones are refused",
      ]);
    }),
  { skip },
);
