// A network with a delay between the clients and the proxy.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { root, run } from "../../tests/support/tools.mjs";
import { start, startCommand } from "./driven.mjs";
import { startProxy } from "./proxy.mjs";

const namespaces = ["client", "proxy"].map((side) => `socks5-${side}-${process.pid}`);
const addresses = ["192.0.2.1", "192.0.2.2"];

/** Ways to delay, the best first: each gives the proxy, how clients reach it, and how to end what it started. */
const ways = {
  /** A tun device in each of two network namespaces, and a program that carries packets between them. */
  async tun(delay) {
    await add(namespaces);
    const carrier = await startCommand([
      "python3",
      join(root, "bench/delay.py"),
      ...namespaces,
      String(delay),
    ]);
    return { ...await connected(), end: () => carrier.end() };
  },

  /** A pair of veth devices in two network namespaces, delayed by the kernel. */
  async netem(delay) {
    await add(namespaces);
    const [one, other] = namespaces;
    await must(
      "ip",
      "link",
      "add",
      "delay0",
      "netns",
      one,
      "type",
      "veth",
      "peer",
      "name",
      "delay0",
      "netns",
      other,
    );
    for (const name of namespaces) {
      await must(
        "tc",
        "-netns",
        name,
        "qdisc",
        "add",
        "dev",
        "delay0",
        "root",
        "netem",
        "delay",
        `${delay}ms`,
      );
    }
    return { ...await connected(), end() {} };
  },

  /** A relay on loopback, which cannot delay the handshake of TCP. */
  async relay(delay) {
    const proxy = await startProxy();
    const { hostname, ...ports } = proxy.address;
    const relay = await start("node", "relay.mjs", [
      JSON.stringify(ports),
      String(delay),
    ]);
    return {
      proxy,
      address: { hostname, ...relay.hello },
      prefix: [],
      end: () => relay.end(),
    };
  },
};

/** The first of the ways that works, with `delay` milliseconds each way. */
export async function delayed(delay, names = Object.keys(ways)) {
  const failures = [];
  for (const name of names) {
    try {
      const { proxy, end, ...network } = await ways[name](delay);
      const stop = async () => {
        await proxy.end();
        await end();
        remove();
      };
      return { ...network, name, failures, end: stop };
    } catch (error) {
      failures.push(`${name}: ${error.message}`);
      remove();
    }
  }
  throw new Error(`Cannot delay packets: ${failures.join("; ")}`);
}

/** Gives both ends their addresses and starts the proxy at one of them. */
async function connected() {
  for (const [side, name] of namespaces.entries()) {
    await must(
      "ip",
      "-n",
      name,
      "address",
      "add",
      `${addresses[side]}/24`,
      "dev",
      "delay0",
    );
    await must("ip", "-n", name, "link", "set", "delay0", "up");
  }
  const [prefix, behind] = namespaces.map((
    name,
  ) => ["ip", "netns", "exec", name]);
  const proxy = await startProxy(addresses[1], behind);
  return { proxy, address: proxy.address, prefix };
}

async function add(namespaces) {
  process.on("exit", remove);
  for (const name of namespaces) await must("ip", "netns", "add", name);
}

function remove() {
  for (const name of namespaces) {
    spawnSync("ip", ["netns", "delete", name], { stdio: "ignore" });
  }
  process.off("exit", remove);
}

async function must(command, ...args) {
  const { ok, output } = await run(command, args);
  if (!ok) throw new Error(output.trim().split("\n").at(-1));
}
