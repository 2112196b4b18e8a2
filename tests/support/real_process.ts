import process from "node:process";
import { spawn, type SpawnOptions } from "node:child_process";
import { accessSync, closeSync, constants, openSync, readdirSync, readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { basename, delimiter, join } from "node:path";
import type { Endpoint } from "../../src/transport.ts";
import { eventually } from "./wait.ts";

/** A program that we started, with all that it forks. */
export interface Process {
  /** Waits until a question is answered with yes; rejects if the program ends before, or takes too long. */
  until(isReady: () => Promise<boolean>): Promise<void>;
  /** Kills the program and its children, and resolves when it is gone. */
  kill(): Promise<void>;
}

/** The path of an installed program. */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return directories.map((it) => join(it, name)).find(isExecutable);
}

/** Starts a program in a directory, where its output goes too; `more` is added to the environment. */
export function startProcess(
  program: string,
  args: readonly string[],
  directory: string,
  more: Record<string, string> = {},
): Process {
  const log = openSync(join(directory, `${basename(program)}.log`), "w");
  // a group of its own, so that what it forks can be killed with it; no pipes, so that it keeps nothing of ours open
  const env = { ...process.env, TMPDIR: directory, ...more };
  const options: SpawnOptions = { cwd: directory, env, detached: true, stdio: ["ignore", log, log] };
  const child = spawn(findProgram(program) ?? program, args, options);
  closeSync(log);
  const killGroup = () => child.pid !== undefined && killAll(child.pid);
  // if the test runner gives up
  process.once("exit", killGroup);
  let end: string | undefined;
  const ended = new Promise<void>((resolve) => {
    child.once("error", (error) => resolve(void (end ??= error.message)));
    child.once("exit", (code, signal) => resolve(void (end ??= `exit ${signal ?? code}`)));
  });
  return {
    async until(isReady) {
      const inTime = await eventually(async () => end !== undefined || await isReady());
      if (inTime && end === undefined) return;
      throw new Error(`${program}: ${end ?? "not ready in time"}`);
    },
    async kill() {
      process.off("exit", killGroup);
      killGroup();
      await ended;
    },
  };
}

/** What the programs of a directory said. */
export function logsOf(directory: string): string {
  const logs = readdirSync(directory).filter((it) => it.endsWith(".log"));
  return logs.map((it) => `${it}:\n${readFileSync(join(directory, it), "utf8")}`).join("\n");
}

/** Runs a program to its end; `more` is added to the environment. */
export async function runProcess(
  program: string,
  args: readonly string[],
  directory: string,
  more: Record<string, string> = {},
): Promise<void> {
  const env = { ...process.env, ...more };
  const child = spawn(findProgram(program) ?? program, args, { cwd: directory, env, stdio: "ignore" });
  const code = await new Promise((resolve) => {
    child.once("error", resolve);
    child.once("exit", resolve);
  });
  if (code !== 0) throw new Error(`${program}: ${code}`);
}

/** A TCP port of 127.0.0.1 that was free a moment ago, and is none that the system gives to others by itself. */
export async function freePort(): Promise<number> {
  while (true) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** Whether connections are accepted. */
export function listens(at: Endpoint): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect("path" in at ? { path: at.path } : { host: at.hostname, port: at.port });
    socket.on("connect", () => (resolve(true), socket.destroy()));
    socket.on("error", () => resolve(false));
  });
}

/** Whether a server answers some bytes, or speaks by itself, with bytes that begin as expected. */
export function answers(
  at: Endpoint,
  question: Uint8Array,
  expected: Uint8Array,
  open: () => Socket = () => connect("path" in at ? { path: at.path } : { host: at.hostname, port: at.port }),
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = open();
    let answer: number[] = [];
    socket.setTimeout(1_000, () => socket.destroy());
    if (question.length > 0) socket.write(question);
    socket.on("data", (chunk) => {
      answer = [...answer, ...chunk];
      if (answer.length >= expected.length) socket.destroy();
    });
    socket.on("end", () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => resolve(expected.every((byte, i) => byte === answer[i])));
  });
}

function killAll(group: number): void {
  try {
    process.kill(-group, "SIGKILL");
  } catch (error) {
    // they have ended already
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
