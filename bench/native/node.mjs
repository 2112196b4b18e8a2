// The floor on Node: node:net and a handshake by hand.
import { connect as netConnect } from "node:net";
import { chunkSize, greeting, Handshake, header } from "./messages.mjs";

export function connect({ hostname, port }) {
  return new Promise((resolve, reject) => {
    const socket = netConnect({
      host: hostname,
      port,
      noDelay: true,
      keepAlive: true,
    });
    socket.on("error", reject);
    socket.on("connect", () => resolve(socket));
  });
}

export function tunnel({ hostname, port }, target, login) {
  return new Promise((resolve, reject) => {
    const socket = netConnect({
      host: hostname,
      port,
      noDelay: true,
      keepAlive: true,
    });
    const handshake = new Handshake(target, login);
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("The connection is closed")));
    socket.on("connect", () => socket.write(greeting(login)));
    socket.on("data", function received(chunk) {
      try {
        const message = handshake.next(chunk);
        if (message) return void socket.write(message);
        if (message === undefined) return;
        socket.off("data", received);
        socket.pause();
        if (handshake.got) socket.unshift(handshake.got);
        resolve(socket);
      } catch (error) {
        socket.destroy(error);
      }
    });
  });
}

export function close(socket) {
  socket.destroy();
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
  const fill = () => {
    while (left > 0) {
      left -= chunkSize;
      if (!socket.write(chunk)) return;
    }
  };
  socket.on("drain", fill);
  fill();
  return done;
}

function exchange(socket, message, received) {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("The connection is closed")));
    socket.on("data", (chunk) => received(resolve, chunk));
    socket.resume();
    socket.write(message);
  });
}

/** What `detach()` of ours gives. */
export function adopt({ socket }) {
  return socket;
}
