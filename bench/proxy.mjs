// The proxy under the benchmark and the targets behind it, in one process of Bun, which takes the least CPU of the three
// runtimes here. It answers each request with success at once and plays the target itself; it ends with its input.
import process from "node:process";

/**
 * What a connection goes through: each takes the start of `chunk` and gives its length, or 0 to be given more. A byte
 * that is not there yet is `undefined`, and no comparison with it is true.
 */
const steps = {
  greeting(socket, chunk) {
    if (!(chunk.length >= 2 + chunk[1])) return 0;
    socket.write(Uint8Array.of(5, socket.data.login ? 2 : 0));
    socket.data.step = socket.data.login ? steps.login : steps.request;
    return 2 + chunk[1];
  },
  login(socket, chunk) {
    const passwordAt = 2 + chunk[1];
    if (!(chunk.length > passwordAt + chunk[passwordAt])) return 0;
    socket.write(Uint8Array.of(1, 0));
    socket.data.step = steps.request;
    return passwordAt + 1 + chunk[passwordAt];
  },
  request(socket, chunk) {
    const length = 7 + chunk[4];
    if (!(chunk.length >= length)) return 0;
    // the first word of the name is the target: echo.bench, http.bench, source.bench, sink.bench
    const [target] = chunk.toString("latin1", 5, length - 2).split(".");
    socket.write(Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    socket.data.step = steps[target];
    return length;
  },
  echo(socket, chunk) {
    socket.write(chunk);
    return chunk.length;
  },
  http(socket, chunk) {
    if (!chunk.includes("\r\n\r\n")) return 0;
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    return chunk.length;
  },
  /** Sends as many bytes as the number says that comes first. */
  source(socket, chunk) {
    if (chunk.length < 8) return 0;
    socket.data.left = chunk.readDoubleBE();
    pour(socket);
    return 8;
  },
  /** Takes as many bytes as the number says that comes first, then answers with one. */
  sink(socket, chunk) {
    if (chunk.length < 8) return 0;
    socket.data.left = chunk.readDoubleBE();
    socket.data.step = swallow;
    return 8;
  },
};

const block = new Uint8Array(256 * 1024);

function pour(socket) {
  const { data } = socket;
  while (data.left > 0) {
    const sent = socket.write(block.subarray(0, Math.min(block.length, data.left)));
    if (sent <= 0) return;
    data.left -= sent;
  }
}

function swallow(socket, chunk) {
  socket.data.left -= chunk.length;
  if (socket.data.left === 0) socket.write(Uint8Array.of(1));
  return chunk.length;
}

const handlers = {
  data(socket, chunk) {
    const { data } = socket;
    if (data.kept) chunk = Buffer.concat([data.kept, chunk]);
    data.kept = undefined;
    while (chunk.length > 0) {
      const taken = data.step(socket, chunk);
      if (taken === 0) return void (data.kept = Buffer.from(chunk));
      chunk = chunk.subarray(taken);
    }
  },
  drain(socket) {
    if (socket.data.step === steps.source) pour(socket);
  },
  error() {},
};

/** A port at which a connection begins with `step`. */
function listen(step, login = false) {
  const open = (socket) => void (socket.data = { step, login, left: 0, kept: undefined });
  return Bun.listen({ hostname: process.argv[2], port: 0, socket: { ...handlers, open } }).port;
}

const { echo, http, source, sink, greeting } = steps;
const direct = { echo: listen(echo), http: listen(http), source: listen(source), sink: listen(sink) };
console.log(JSON.stringify({ open: listen(greeting), login: listen(greeting, true), direct }));
for await (const _ of process.stdin);
process.exit();
