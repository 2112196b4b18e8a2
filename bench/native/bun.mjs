// The floor on Bun: Bun.connect and a handshake by hand.
import { chunkSize, greeting, Handshake, header } from "./messages.mjs";

const handlers = {
  open(socket) {
    socket.setKeepAlive(true, 0); // TCP_NODELAY is on
    if (socket.data.handshake) {
      socket.write(greeting(socket.data.handshake.login));
    } else socket.data.resolve(socket);
  },
  data(socket, chunk) {
    if (socket.data.handshake) step(socket, chunk);
    else socket.data.received?.(chunk);
  },
  drain: (socket) => socket.data.drained?.(),
  end: (socket) => socket.data.reject(new Error("The connection ended")),
  close: (socket, error) => socket.data.reject(error ?? new Error("The connection is closed")),
  error: (socket, error) => socket.data.reject(error),
};

function step(socket, chunk) {
  const { data } = socket;
  try {
    const message = data.handshake.next(chunk);
    if (message) return void socket.write(message);
    if (message === undefined) return;
    data.head = data.handshake.got;
    data.handshake = undefined;
    data.resolve(socket);
  } catch (error) {
    data.reject(error);
    socket.close();
  }
}

export function tunnel(proxy, target, login) {
  return connect(proxy, new Handshake(target, login));
}

export function connect({ hostname, port }, handshake) {
  return new Promise((resolve, reject) => {
    const data = {
      handshake,
      resolve,
      reject,
      head: undefined,
      received: undefined,
      drained: undefined,
    };
    Bun.connect({ hostname, port, socket: handlers, data }).catch(reject);
  });
}

export function close(socket) {
  socket.close();
}

export function echo(socket) {
  return exchange(socket, Uint8Array.of(1), (resolve) => resolve());
}

export function download(socket, bytes) {
  let left = bytes;
  return exchange(socket, header(bytes), (resolve, chunk) => {
    left -= chunk.length;
    if (left <= 0) resolve();
  });
}

export function upload(socket, bytes) {
  const chunk = new Uint8Array(chunkSize);
  let left = bytes;
  const done = exchange(socket, header(bytes), (resolve) => resolve());
  const fill = socket.data.drained = () => {
    while (left > 0) {
      // a chunk of which a part is taken goes on where it was cut
      const rest = left % chunkSize || chunkSize;
      const sent = socket.write(
        rest === chunkSize ? chunk : chunk.subarray(chunkSize - rest),
      );
      left -= Math.max(sent, 0);
      if (sent < rest) return;
    }
  };
  fill();
  return done;
}

function exchange(socket, message, received) {
  return new Promise((resolve, reject) => {
    socket.data.reject = reject;
    socket.data.received = (chunk) => received(resolve, chunk);
    socket.write(message);
  });
}

/** What `detach()` of ours gives; nothing came that was not asked for. */
export function adopt({ socket }) {
  socket.data = {};
  socket.reload({ socket: handlers });
  socket.resume();
  return socket;
}
