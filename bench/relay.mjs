// Holds what passes for some milliseconds: relay.mjs PORTS MILLISECONDS, where PORTS is the greeting of the proxy. It
// greets with ports of its own in their place, and ends with its input.
import { connect, createServer } from "node:net";
import process from "node:process";

const [ports, delay] = process.argv.slice(2).map((arg) => JSON.parse(arg));

function pass(from, to) {
  from.on("data", (chunk) => setTimeout(() => to.write(chunk), delay));
  from.on("close", () => setTimeout(() => to.destroy(), delay));
  from.on("error", () => {});
}

function relay(port) {
  const server = createServer((socket) => {
    const onward = connect({ host: "127.0.0.1", port, noDelay: true });
    socket.setNoDelay(true);
    pass(socket, onward);
    pass(onward, socket);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}

async function relayAll(ports) {
  const entries = Object.entries(ports).map(async ([name, port]) => [
    name,
    typeof port === "object" ? await relayAll(port) : await relay(port),
  ]);
  return Object.fromEntries(await Promise.all(entries));
}

console.log(JSON.stringify(await relayAll(ports)));
process.stdin.resume().on("end", () => process.exit());
