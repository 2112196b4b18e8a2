import process from "node:process";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { answers, findProgram, freePort, listens } from "./real_process.ts";
import { program, type RealProgram } from "./real_program.ts";
import { greets, startSshd } from "./sshd.ts";

const isRoot = process.getuid?.() === 0;
const account = { username: "tester", password: "sesame of the server" };

/** redis-server that wants a password. */
export const redis: RealProgram = program({
  name: "redis-server",
  programs: ["redis-server"],
  credentials: account,
  isReady: listens,
  launch: ({ directory, port, start }) =>
    start(
      "redis-server",
      ...["--bind", "127.0.0.1", "--port", `${port}`, "--dir", directory, "--requirepass", account.password],
      ...["--save", "", "--appendonly", "no"],
    ),
});

/** redis-server as a cluster of one, without a password. */
export const redisCluster: RealProgram = program({
  name: "redis-server as a cluster",
  programs: ["redis-server", "redis-cli"],
  isReady: listens,
  async launch({ directory, port, start, run }) {
    const files = ["--dir", directory, "--save", "", "--appendonly", "no"];
    const cluster = [
      "--cluster-enabled",
      "yes",
      "--cluster-announce-ip",
      "127.0.0.1",
      "--cluster-port",
      `${await freePort()}`,
    ];
    const running = start("redis-server", "--bind", "127.0.0.1", "--port", `${port}`, ...cluster, ...files);
    const at = { hostname: "127.0.0.1", port };
    await running.until(() => listens(at));
    await run("redis-cli", "-p", `${port}`, "CLUSTER", "ADDSLOTSRANGE", "0", "16383");
    const question = new TextEncoder().encode("EXISTS a\r\n");
    await running.until(() => answers(at, question, new TextEncoder().encode(":0")));
    return running;
  },
});

/** vsftpd with an anonymous user, in active mode alone, and `hello.txt`. */
export const vsftpd: RealProgram = program({
  name: "vsftpd",
  programs: ["vsftpd"],
  isReady: (at) => answers(at, new Uint8Array(), new TextEncoder().encode("220")),
  launch({ directory, port, start, write }) {
    const files = join(directory, "files");
    mkdirSync(files);
    writeFileSync(join(files, "hello.txt"), "hello, active mode\n");
    chmodSync(directory, 0o755);
    chmodSync(files, 0o555);
    const settings = {
      ...{ listen: "YES", listen_address: "127.0.0.1", listen_port: port, background: "NO", pasv_enable: "NO" },
      ...{
        anonymous_enable: "YES",
        local_enable: "NO",
        anon_root: files,
        ftp_username: isRoot ? "daemon" : userInfo().username,
      },
      ...{ secure_chroot_dir: files, seccomp_sandbox: "NO", run_as_launching_user: isRoot ? "NO" : "YES" },
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
    return start("vsftpd", write("vsftpd.conf", lines.join("")));
  },
});

/** PostgreSQL that wants a password, with a database `postgres`, and without a unix socket. */
export const postgres: RealProgram = program({
  name: "PostgreSQL",
  programs: isRoot ? ["setpriv"] : [],
  obstacle: postgresBin() === undefined && "PostgreSQL is not installed",
  credentials: account,
  isReady: (at) => answers(at, Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47), Uint8Array.of(0x4e)), // SSLRequest: N
  async launch({ directory, port, start, run, write }) {
    const bin = postgresBin()!;
    const asUser = isRoot ? ["setpriv", ...userPostgres(directory), "--"] : [];
    const password = write("password", account.password);
    const data = join(directory, "data");
    const as = (program: string, ...args: string[]) =>
      [...asUser, join(bin, program), ...args] as [string, ...string[]];
    const initdb = ["-A", "scram-sha-256", "-U", account.username, "--pwfile", password, "--no-sync", "--locale=C"];
    await run(...as("initdb", "-D", data, ...initdb));
    const settings = ["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=1MB"];
    const server = start(...as("postgres", "-D", data, "-h", "127.0.0.1", "-p", `${port}`, ...settings));
    return {
      ...server,
      // in order: what is killed leaves shared memory behind
      async kill() {
        await run(...as("pg_ctl", "stop", "-D", data, "-m", "immediate")).catch(() => {});
        await server.kill();
      },
    };
  },
});

/** dnsmasq, which knows the one name `record.test`, whose address is 192.0.2.7. */
export const dns: RealProgram = program({
  name: "dnsmasq",
  programs: ["dnsmasq"],
  isReady: listens,
  launch: ({ directory, port, start }) =>
    start(
      "dnsmasq",
      ...["--keep-in-foreground", "--conf-file=/dev/null", `--pid-file=${join(directory, "dnsmasq.pid")}`],
      ...["--no-resolv", "--no-hosts", "--bind-interfaces", "--listen-address=127.0.0.1", `--port=${port}`],
      ...["--host-record=record.test,192.0.2.7", ...(isRoot ? ["--user=root"] : [])],
    ),
});

/** sshd that takes the key `user` in its directory, from the user who runs the tests. */
export const sshd: RealProgram = program({
  name: "sshd",
  programs: ["sshd", "ssh-keygen"],
  credentials: { username: execFileSync("id", ["-un"], { encoding: "utf8" }).trim(), password: "" },
  isReady: greets,
  launch: (place) => startSshd(place, place.port),
});

/** Debian keeps the programs of each version in a directory of its own. */
function postgresBin(): string | undefined {
  const beside = findProgram("initdb");
  if (beside) return join(beside, "..");
  const versions = "/usr/lib/postgresql";
  try {
    return readdirSync(versions).map((it) => join(versions, it, "bin")).find((it) => existsSync(join(it, "initdb")));
  } catch {
    return undefined;
  }
}

/** PostgreSQL does not run as root: gives it the directory and says who it is to be. */
function userPostgres(directory: string): string[] {
  const [uid, gid] = ["-u", "-g"].map((which) => Number(execFileSync("id", [which, "postgres"])));
  chownSync(directory, uid!, gid!);
  return ["--reuid", `${uid}`, "--regid", `${gid}`, "--clear-groups"];
}

/** Prometheus, which scrapes some `host:port` ten times a second. */
export const prometheusOf = (targets: readonly string[]): RealProgram =>
  program({
    name: "Prometheus",
    programs: ["prometheus", "promtool"],
    isReady: ({ port }) =>
      fetch(`http://127.0.0.1:${port}/-/ready`).then(async (it) => (await it.text(), it.ok), () => false),
    launch({ directory, port, start, write }) {
      const scrape = { job_name: "socks5", scrape_interval: "100ms", scrape_timeout: "100ms" };
      const config = { scrape_configs: [{ ...scrape, static_configs: [{ targets }] }] };
      return start(
        "prometheus",
        `--config.file=${write("prometheus.yml", JSON.stringify(config))}`, // JSON is YAML
        ...[`--web.listen-address=127.0.0.1:${port}`, `--storage.tsdb.path=${join(directory, "data")}`],
        "--log.level=warn",
      );
    },
  });
