import process from "node:process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  answers,
  findProgram,
  freePort,
  listens,
  logsOf,
  type Process,
  runProcess,
  startProcess,
} from "./real_process.ts";
import { eventually } from "./wait.ts";
import { quick } from "./test.ts";

/** A SOCKS5 server of the real world that can be started for a test. */
export interface RealProgram {
  readonly name: string;
  /** Why it cannot be started here; `false` if it can, or must: with `SOCKS5_TEST_REQUIRE_PROXIES=1`. */
  readonly missing: string | false;
  /** Starts it on a free loopback port and waits until it answers a greeting. */
  start(): Promise<RealProxy>;
}

/** A running one. */
export interface RealProxy extends AsyncDisposable {
  readonly name: string;
  /** Where it listens. */
  readonly hostname: string;
  readonly port: number;
  /** "socks5h://user:password@127.0.0.1:1080". */
  readonly url: string;
  /** Where its files are while it runs. */
  readonly directory: string | undefined;
  /** Its unix socket, if it has one too. */
  readonly path: string | undefined;
  readonly credentials: { username: string; password: string } | undefined;
  /** Kills it and removes its files. */
  stop(): Promise<void>;
  /** Stops it if it runs, and starts it again on the same port. */
  restart(): Promise<void>;
}

/** How a proxy is started. */
export interface Recipe {
  name: string;
  programs: readonly string[];
  /** Why it cannot run here although the programs are installed. */
  obstacle?: string | false;
  credentials?: { username: string; password: string };
  /** The name of a unix socket that it opens too. */
  socket?: string;
  /** What its programs have in their environment besides. */
  environment?(directory: string): Record<string, string>;
  /** Whether it can be used. Default: whether it answers a SOCKS5 greeting. */
  isReady?(at: { hostname: string; port: number }): Promise<boolean>;
  /** Starts what belongs to it and gives the proxy itself. */
  launch(place: Place): Promise<Process> | Process;
}

/** Where a proxy is started: a directory of its own, and a port of 127.0.0.1. */
export interface Place {
  directory: string;
  port: number;
  /** Starts a program, to be killed at the end. */
  start(program: string, ...args: string[]): Process;
  /** Runs a program to its end. */
  run(program: string, ...args: string[]): Promise<void>;
  /** Writes a file and gives its path. */
  write(name: string, content: string): string;
}

/** A program by its recipe. */
export function program(recipe: Recipe): RealProgram {
  const absent = recipe.programs.filter((it) => !findProgram(it));
  const missing = absent.length > 0 ? `${absent.join(", ")} not installed` : recipe.obstacle ?? false;
  const isRequired = process.env.SOCKS5_TEST_REQUIRE_PROXIES === "1";
  return {
    name: recipe.name,
    missing: quick || (!isRequired && missing),
    async start() {
      if (missing) throw new Error(`${recipe.name} cannot be started: ${missing}`);
      return proxyOf(recipe, await startOn(undefined, recipe));
    },
  };
}

/** One life of a proxy, from its start until it is killed. */
interface Life {
  port: number;
  directory: string;
  end(): Promise<void>;
}

function proxyOf(recipe: Recipe, first: Life): RealProxy {
  const { name, credentials, socket } = recipe;
  const { port } = first;
  let life: Life | undefined = first;
  const stop = async () => {
    const ending = life;
    life = undefined;
    await ending?.end();
  };
  const who = credentials
    ? `${encodeURIComponent(credentials.username)}:${encodeURIComponent(credentials.password)}@`
    : "";
  return {
    name,
    credentials,
    hostname: "127.0.0.1",
    port,
    url: `socks5h://${who}127.0.0.1:${port}`,
    get directory() {
      return life?.directory;
    },
    get path() {
      return socket && life && join(life.directory, socket);
    },
    stop,
    async restart() {
      await stop();
      life = await startOn(port, recipe);
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** Tries again: a free port may be taken before the program has it, a used one may be held a moment longer. */
async function startOn(wanted: number | undefined, recipe: Recipe): Promise<Life> {
  for (let tries = 1;; tries++) {
    const port = wanted ?? await freePort();
    try {
      return await startOnce(port, recipe);
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}

async function startOnce(port: number, recipe: Recipe): Promise<Life> {
  const directory = mkdtempSync(join(tmpdir(), "socks5-"));
  const at = { hostname: "127.0.0.1", port };
  const processes: Process[] = [];
  let proxy: Process | undefined;
  const clear = async () => {
    await proxy?.kill(); // it may have its own way to end
    await Promise.all(processes.map((it) => it.kill()));
    rmSync(directory, { recursive: true, force: true });
  };
  const end = async () => {
    await clear();
    // what it forked may hold the port a moment longer
    if (!await eventually(async () => !await listens(at))) throw new Error(`${recipe.name} does not stop`);
  };
  const environment = recipe.environment?.(directory);
  const place: Place = {
    directory,
    port,
    start(program, ...args) {
      const started = startProcess(program, args, directory, environment);
      processes.push(started);
      return started;
    },
    run: (program, ...args) => runProcess(program, args, directory, environment),
    write(name, content) {
      const file = join(directory, name);
      writeFileSync(file, content);
      return file;
    },
  };
  try {
    proxy = await recipe.launch(place);
    const method = recipe.credentials ? 2 : 0;
    const greets = () => answers(at, Uint8Array.of(5, 1, method), Uint8Array.of(5, method));
    await proxy.until(() => recipe.isReady?.(at) ?? greets());
    return { port, directory, end };
  } catch (error) {
    const logs = logsOf(directory);
    await clear();
    throw new Error(`${recipe.name} does not start: ${(error as Error).message}\n${logs}`);
  }
}
