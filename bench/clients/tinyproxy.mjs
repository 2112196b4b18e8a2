// tinyproxy of the system in front of the same SOCKS5 proxy: a process of its own, whose CPU and memory are asked of the
// kernel.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const path = ["/usr/bin/tinyproxy", "/usr/sbin/tinyproxy"].find((it) => existsSync(it));

export function open({ proxy: { hostname, open } }) {
  let pid;
  return {
    async listen() {
      if (path === undefined) throw new Error("tinyproxy is not installed");
      const port = await freePort();
      const folder = mkdtempSync(join(tmpdir(), "tinyproxy-"));
      const config = join(folder, "tinyproxy.conf");
      const lines = [
        "Listen 127.0.0.1",
        `Port ${port}`,
        "MaxClients 5000",
        "Timeout 600",
        "Allow 127.0.0.1",
      ];
      writeFileSync(
        config,
        [
          ...lines,
          "LogLevel Critical",
          `Upstream socks5 ${hostname}:${open}`,
          "",
        ].join("\n"),
      );
      const child = spawn(path, ["-d", "-c", config], { stdio: "ignore" });
      ({ pid } = child);
      process.on("exit", () => {
        child.kill("SIGKILL");
        rmSync(folder, { recursive: true, force: true });
      });
      await reachable(port);
      return { port };
    },

    /** Milliseconds of CPU of all its threads, also of those that have ended. */
    cpu() {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]
        .split(" ");
      return { cpu: (Number(fields[11]) + Number(fields[12])) * 10 };
    },

    resident() {
      const pages = readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1];
      return { resident: Number(pages) * 4_096 };
    },
  };
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function reachable(port) {
  for (const end = performance.now() + 5_000;;) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await Promise.race([
      once(socket, "connect"),
      once(socket, "error"),
    ]).then(() => true, () => false);
    socket.destroy();
    if (isOpen) return;
    if (performance.now() > end) throw new Error("tinyproxy does not listen");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
