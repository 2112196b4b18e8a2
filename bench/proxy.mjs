// The proxy under the benchmark and the targets behind it, in one process of Bun, which takes the least CPU of the three
// runtimes here. It answers each request with success at once and plays the target itself; it ends with its input.
import process from "node:process";
import { Authority } from "../tests/support/certificates.ts";

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
    // the first word of the name is the target: echo.bench, http.bench, web.bench, secure.bench, source.bench, sink.bench
    const [target] = chunk.toString("latin1", 5, length - 2).split(".");
    socket.write(Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    socket.data.step = steps[target];
    if (target === "secure") carry(socket);
    return length;
  },
  /** The other way to a target, for clients that know no SOCKS5. */
  httpProxy(socket, chunk) {
    const end = chunk.indexOf("\r\n\r\n");
    if (end < 0) return 0;
    if (!chunk.toString("latin1", 0, 8).startsWith("CONNECT ")) {
      return steps.web(socket, chunk);
    }
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    socket.data.step = steps.secure;
    carry(socket);
    return end + 4;
  },
  echo(socket, chunk) {
    socket.write(chunk);
    return chunk.length;
  },
  http(socket, chunk) {
    if (!chunk.includes("\r\n\r\n")) return 0;
    socket.write(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    );
    return chunk.length;
  },
  /** Answers with as many bytes as the path ends with; closes after a path that begins with /close. */
  web(socket, chunk) {
    const end = chunk.indexOf("\r\n\r\n");
    if (end < 0) return 0;
    const [, closes, size] = /^GET \S*?(\/close)?\/(\d+) /.exec(
      chunk.toString("latin1", 0, end),
    );
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n${closes ? "Connection: close\r\n" : ""}\r\n`;
    socket.data.closes = closes !== undefined;
    socket.data.left = size > 1_000 ? Number(size) : 0;
    socket.write(size > 1_000 ? head : head + ".".repeat(size));
    pour(socket);
    return end + 4;
  },
  /** What `web` does, with TLS. */
  secure({ data: { peer } }, chunk) {
    if (!peer) return 0;
    peer.write(chunk);
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
    const sent = socket.write(
      block.subarray(0, Math.min(block.length, data.left)),
    );
    if (sent <= 0) return;
    data.left -= sent;
  }
  if (data.closes) socket.end();
}

/** Carries bytes between a client and the port with TLS. */
function carry(socket) {
  let rest = new Uint8Array();
  const flush = (peer) => {
    rest = rest.subarray(Math.max(socket.write(rest), 0));
    if (rest.length === 0) peer.resume();
  };
  Bun.connect({
    hostname: process.argv[2],
    port: direct.secure,
    socket: {
      open(peer) {
        socket.data.peer = peer;
        socket.data.flush = () => flush(peer);
        handlers.data(socket, new Uint8Array());
      },
      data(peer, chunk) {
        rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk.slice();
        flush(peer);
        if (rest.length > 0) peer.pause();
      },
      close: () => socket.end(),
      error() {},
    },
  });
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
    const { data } = socket;
    data.flush?.();
    if (data.left > 0 && data.step !== swallow) pour(socket);
  },
  close(socket) {
    socket.data.peer?.end();
  },
  error() {},
};

const authority = new Authority("bench");
const tls = authority.issue("secure.bench", {
  names: ["secure.bench"],
  ips: ["127.0.0.1"],
});

/** A port at which a connection begins with `step`. */
function listen(step, { login = false, ...options } = {}) {
  const open = (socket) => void (socket.data = { step, login, left: 0, kept: undefined });
  return Bun.listen({
    hostname: process.argv[2],
    port: 0,
    socket: { ...handlers, open },
    ...options,
  }).port;
}

const { echo, http, web, source, sink, greeting, httpProxy } = steps;
const direct = {
  ...Object.fromEntries(
    Object.entries({ echo, http, web, source, sink }).map((
      [name, step],
    ) => [name, listen(step)]),
  ),
  secure: listen(web, { tls }),
};
const ports = {
  open: listen(greeting),
  login: listen(greeting, { login: true }),
  http: listen(httpProxy),
};
console.log(JSON.stringify({ ...ports, direct, ca: authority.cert }));
for await (const _ of process.stdin);
process.exit();
