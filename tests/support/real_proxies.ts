import process from "node:process";
import { join } from "node:path";
import { freePort, listens, type Process } from "./real_process.ts";
import { type Place, program, type RealProgram } from "./real_program.ts";
import { greets, startSshd } from "./sshd.ts";

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
  launch: ({ port, start }) => start("microsocks", "-i", "127.0.0.1", "-p", `${port}`),
});

/** microsocks that wants {@linkcode RealProxy.credentials}. */
export const microsocksWithPassword: RealProgram = program({
  name: "microsocks with a password",
  programs: ["microsocks"],
  credentials: ALICE,
  launch: ({ port, start }) =>
    start("microsocks", "-i", "127.0.0.1", "-p", `${port}`, "-u", ALICE.username, "-P", ALICE.password),
});

/** dante without a password. */
export const dante: RealProgram = program({
  name: "dante",
  programs: ["danted"],
  launch: (place) => startDante(place, "none"),
});

/** dante for a system account, which the environment names. */
export const danteWithAccount: RealProgram = program({
  name: "dante with an account",
  programs: ["danted"],
  credentials: ACCOUNT,
  obstacle: ACCOUNT.username === "" || ACCOUNT.password === ""
    ? "SOCKS5_TEST_DANTE_USER and SOCKS5_TEST_DANTE_PASSWORD are not set"
    : !isRoot && "only root can check the password of an account",
  launch: (place) => startDante(place, "username"),
});

/** `ssh -D` through an sshd of our own, with keys of our own. */
export const sshD: RealProgram = program({
  name: "ssh -D",
  programs: ["ssh", "sshd", "ssh-keygen"],
  async launch(place) {
    const { port, start } = place;
    const sshPort = await freePort();
    const server = await startSshd(place, sshPort);
    await server.until(() => greets({ hostname: "127.0.0.1", port: sshPort }));
    const options = [
      "ExitOnForwardFailure=yes",
      "StrictHostKeyChecking=no",
      "UserKnownHostsFile=/dev/null",
      "IdentityAgent=none",
      "BatchMode=yes",
    ].flatMap((it) => ["-o", it]);
    const proxy = ["-N", "-D", `127.0.0.1:${port}`, "-i", "user", "-p", `${sshPort}`, "127.0.0.1"];
    return start("ssh", "-F", "none", ...options, ...proxy);
  },
});

/** tor without a network: it negotiates, on TCP and on a unix socket, and knows no way to any target. */
export const tor: RealProgram = program({
  name: "tor",
  programs: ["tor"],
  socket: "tor.sock",
  launch({ directory, port, start, write }) {
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
    return start("tor", "-f", config, "--defaults-torrc", "/dev/null");
  },
});

/** shadowsocks: `ss-local` in front of `ss-server`, for TCP and UDP. */
export const shadowsocks: RealProgram = program({
  name: "shadowsocks",
  programs: ["ss-local", "ss-server"],
  async launch({ port, start, write }) {
    const server_port = await freePort();
    const server = "127.0.0.1";
    const common = { server, server_port, password: "sesame", method: "aes-256-gcm", mode: "tcp_and_udp", timeout: 60 };
    const config = write("ss.json", JSON.stringify({ ...common, local_address: server, local_port: port }));
    const remote = start("ss-server", "-c", config, "-u");
    await remote.until(() => listens({ hostname: server, port: server_port }));
    return start("ss-local", "-c", config, "-u");
  },
});

/** v2ray, straight to the target. */
export const v2ray: RealProgram = program({
  name: "v2ray",
  programs: ["v2ray"],
  launch({ port, start, write }) {
    const settings = { auth: "noauth", udp: true, ip: "127.0.0.1" };
    const config = {
      log: { loglevel: "warning" },
      inbounds: [{ listen: "127.0.0.1", port, protocol: "socks", settings }],
      outbounds: [{ protocol: "freedom", settings: {} }],
    };
    return start("v2ray", "-config", write("v2ray.json", JSON.stringify(config)));
  },
});

function startDante({ directory, port, start, write }: Place, method: "none" | "username"): Process {
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
     socks pass { from: 127.0.0.1/32 to: 0/0 command: bind connect udpassociate }
     socks pass { from: 0/0 to: 127.0.0.1/32 command: bindreply udpreply }
    `,
  );
  return start("danted", "-f", config, "-p", join(directory, "danted.pid"));
}
