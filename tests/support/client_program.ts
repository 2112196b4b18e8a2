import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findProgram } from "./real_process.ts";
import { quick } from "./test.ts";

/** What a program said until its end. */
export interface Ended {
  code: number | string;
  out: string;
  err: string;
}

/** Why programs cannot be tried here; `false` if they can, or must: with `SOCKS5_TEST_REQUIRE_PROXIES=1`. */
export function missing(...programs: string[]): string | false {
  const absent = programs.filter((it) => !findProgram(it));
  if (quick) return quick;
  return process.env.SOCKS5_TEST_REQUIRE_PROXIES !== "1" && absent.length > 0 && `${absent.join(", ")} not installed`;
}

/** Runs `use` with a directory, which is removed in the end. */
export async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "socks5-"));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Runs a program in a directory to its end; what it started dies with it, and all of it after 20 seconds. */
export async function runClient(
  directory: string,
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Ended> {
  const files = [join(directory, ".out"), join(directory, ".err")] as const;
  const [out, err] = files.map((it) => openSync(it, "w"));
  // no pipes, so that it keeps nothing of ours open
  const child = spawn(findProgram(program) ?? program, args, {
    cwd: directory,
    env: { ...cleared(), HOME: directory, TMPDIR: directory, ...env },
    detached: true,
    stdio: ["ignore", out!, err!],
  });
  closeSync(out!);
  closeSync(err!);
  const kill = () => child.pid !== undefined && killGroup(child.pid);
  process.once("exit", kill);
  const timer = setTimeout(kill, 20_000);
  try {
    const code = await new Promise<number | string>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) => resolve(code ?? signal ?? "?"));
    });
    return { code, out: readFileSync(files[0], "utf8"), err: readFileSync(files[1], "utf8") };
  } finally {
    clearTimeout(timer);
    process.off("exit", kill);
    kill();
  }
}

/** The environment without proxies. */
function cleared(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/proxy$/i.test(name)));
}

function killGroup(group: number): void {
  try {
    process.kill(-group, "SIGKILL");
  } catch {
    // it has ended
  }
}
