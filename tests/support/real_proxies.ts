import process from "node:process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  answers,
  eventually,
  findProgram,
  freePort,
  listens,
  type Process,
  run,
  startProcess,
} from "./real_process.ts";

/** A SOCKS5 server of the real world that can be started for a test. */
export interface RealProgram {
  readonly name: string;
  /** Why it cannot be started here; `false` if it can, or if `SOCKS5_TEST_REQUIRE_PROXIES=1` wants it started anyway. */
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
  /** Its unix socket, if it has one too. */
  readonly path: string | undefined;
  readonly credentials: { username: string; password: string } | undefined;
  /** Kills it and removes its files. */
  stop(): Promise<void>;
  /** Stops it if it runs, and starts it again on the same port. */
  restart(): Promise<void>;
}

interface Recipe {
  name: string;
  programs: readonly string[];
  /** Why it cannot run here although the programs are installed. */
  obstacle?: string | false;
  credentials?: { username: string; password: string };
  /** The name of a unix socket that it opens too. */
  socket?: string;
  /** Starts the processes in a directory of their own, the last one being the proxy. */
  launch(place: Place): Promise<Process[]> | Process[];
}

interface Place {
  directory: string;
  port: number;
  /** The path of a program. */
  path(program: string): string;
  /** Writes a file into the directory and gives its path. */
  write(name: string, content: string): string;
}

const ALICE = { username: "alice", password: "open sesame" };
const ACCOUNT = {
  username: process.env.SOCKS5_TEST_DANTE_USER ?? "",
  password: process.env.SOCKS5_TEST_DANTE_PASSWORD ?? "",
};
const isRoot = process.getuid?.() === 0;

/** microsocks without a password. */
export const microsocks: RealProgram = program({
  name: "microsocks",
  programs: ["microsocks"],
  launch: ({ directory, port, path }) => [
    startProcess([path("microsocks"), "-i", "127.0.0.1", "-p", `${port}`], directory),
  ],
});

/** microsocks that wants {@linkcode RealProxy.credentials}. */
export const microsocksWithPassword: RealProgram = program({
  name: "microsocks with a password",
  programs: ["microsocks"],
  credentials: ALICE,
  launch: ({ directory, port, path }) => {
    const who = ["-u", ALICE.username, "-P", ALICE.password];
    return [startProcess([path("microsocks"), "-i", "127.0.0.1", "-p", `${port}`, ...who], directory)];
  },
});

/** dante without a password. */
export const dante: RealProgram = program({
  name: "dante",
  programs: ["danted"],
  launch: (place) => [startDante(place, "none")],
});

/** dante for a system account, which the environment names. */
export const danteWithAccount: RealProgram = program({
  name: "dante with an account",
  programs: ["danted"],
  credentials: ACCOUNT,
  obstacle: ACCOUNT.username === "" || ACCOUNT.password === ""
    ? "SOCKS5_TEST_DANTE_USER and SOCKS5_TEST_DANTE_PASSWORD are not set"
    : !isRoot && "only root can check the password of an account",
  launch: (place) => [startDante(place, "username")],
});

/** `ssh -D` through an sshd of our own, with keys of our own. */
export const sshD: RealProgram = program({
  name: "ssh -D",
  programs: ["ssh", "sshd", "ssh-keygen"],
  async launch({ directory, port, path, write }) {
    if (isRoot) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    for (const key of ["host", "user"]) {
      await run([path("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key], directory);
    }
    const sshPort = await freePort();
    const config = write(
      "sshd_config",
      `ListenAddress 127.0.0.1:${sshPort}
       HostKey ${directory}/host
       AuthorizedKeysFile ${directory}/user.pub
       PidFile none
       StrictModes no
       UsePAM no
       UseDNS no
       PasswordAuthentication no
       PermitRootLogin yes
       AllowTcpForwarding yes
      `,
    );
    const server = startProcess([path("sshd"), "-D", "-e", "-f", config], directory);
    try {
      const at = { hostname: "127.0.0.1", port: sshPort };
      await server.until(() => answers(at, new Uint8Array(0), new TextEncoder().encode("SSH-2.0")));
    } catch (error) {
      await server.kill();
      throw error;
    }
    const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentityAgent=none", "BatchMode=yes"];
    const command = [path("ssh"), "-F", "none", "-N", "-D", `127.0.0.1:${port}`, "-o", "ExitOnForwardFailure=yes"];
    const where = ["-i", "user", "-p", `${sshPort}`, "127.0.0.1"];
    return [server, startProcess([...command, ...options.flatMap((it) => ["-o", it]), ...where], directory)];
  },
});

/** tor without a network: it negotiates, on TCP and on a unix socket, and knows no way to any target. */
export const tor: RealProgram = program({
  name: "tor",
  programs: ["tor"],
  socket: "tor.sock",
  launch({ directory, port, path, write }) {
    const nobody = "0".repeat(39) + "1";
    const config = write(
      "torrc",
      `DataDirectory ${directory}/data
       SocksPort 127.0.0.1:${port}
       SocksPort unix:${directory}/tor.sock
       # the only authority is nobody, so that nothing leaves the machine
       DirAuthority nobody orport=1 v3ident=${nobody} 127.0.0.1:1 ${nobody}
       ClientOnly 1
       Log notice stderr
      `,
    );
    return [startProcess([path("tor"), "-f", config, "--defaults-torrc", "/dev/null"], directory)];
  },
});

function startDante({ directory, port, path, write }: Place, method: "none" | "username"): Process {
  const config = write(
    "danted.conf",
    `logoutput: stderr
     internal: 127.0.0.1 port = ${port}
     external.protocol: ipv4 ipv6
     external: lo
     clientmethod: none
     socksmethod: ${method}
     ${isRoot ? "user.privileged: root\nuser.unprivileged: nobody" : ""}
     client pass { from: 127.0.0.1/32 to: 0.0.0.0/0 }
     socks pass { from: 127.0.0.1/32 to: 0/0 command: connect }
    `,
  );
  return startProcess([path("danted"), "-f", config, "-p", join(directory, "danted.pid")], directory);
}

function program(recipe: Recipe): RealProgram {
  const absent = recipe.programs.filter((it) => !findProgram(it));
  const missing = absent.length > 0 ? `${absent.join(", ")} not installed` : recipe.obstacle ?? false;
  const isRequired = process.env.SOCKS5_TEST_REQUIRE_PROXIES === "1";
  return {
    name: recipe.name,
    missing: !isRequired && missing,
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

/** A free port may be taken before the program has it, and a used one may be held a moment longer: so it is tried again. */
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
  const clear = async () => {
    await Promise.all(processes.map((it) => it.kill()));
    rmSync(directory, { recursive: true, force: true });
  };
  const end = async () => {
    await clear();
    // what it forked may hold the port a moment longer
    if (!await eventually(async () => !await listens(at))) throw new Error(`${recipe.name} does not stop`);
  };
  const place: Place = {
    directory,
    port,
    path: (name) => findProgram(name) ?? name,
    write(name, content) {
      const file = join(directory, name);
      writeFileSync(file, content);
      return file;
    },
  };
  try {
    processes.push(...await recipe.launch(place));
    const method = recipe.credentials ? 2 : 0;
    await processes.at(-1)?.until(() => answers(at, Uint8Array.of(5, 1, method), Uint8Array.of(5, method)));
    return { port, directory, end };
  } catch (error) {
    await clear();
    throw error;
  }
}
