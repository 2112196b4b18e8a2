// Requests by hand through a local proxy: whole URLs, or in a tunnel of CONNECT, in which nothing looks at the bytes.
import { once } from "node:events";
import { connect } from "node:net";

export function open({ port }) {
  const idle = { forward: [], tunnel: [] };
  const open = [];
  return {
    idle: async () => void open.push(await opened(port, true)),

    async get(isSecure, path) {
      const kept = idle[isSecure ? "tunnel" : "forward"];
      const line = `GET ${isSecure ? "" : "http://web.bench"}${path} HTTP/1.1`;
      let socket = kept.pop();
      let bytes = socket && await answered(socket, line);
      if (bytes === undefined) {
        // none was kept, or it is closed by now: tinyproxy closes each after its answer
        socket = await opened(port, isSecure);
        bytes = await answered(socket, line);
        if (bytes === undefined) {
          throw new Error("the local proxy closed the connection");
        }
      }
      if (path.startsWith("/close")) socket.destroy();
      else kept.push(socket);
      return bytes;
    },
  };
}

async function opened(port, isTunnel) {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "connect");
  socket.on("error", () => {}); // "close" follows
  if (
    isTunnel &&
    await answered(socket, "CONNECT web.bench:80 HTTP/1.1") === undefined
  ) {
    throw new Error(
      "the local proxy closed the connection instead of opening a tunnel",
    );
  }
  return socket;
}

/** Sends a request, and gives how many bytes the body of the answer has; `undefined` if the connection closes before. */
function answered(socket, line) {
  return new Promise((resolve, reject) => {
    if (!socket.writable) return resolve(undefined);
    let head = "";
    let left;
    let length = 0;
    const over = () => resolve(undefined);
    const received = (chunk) => {
      if (left !== undefined) left -= chunk.length;
      else {
        head += chunk.toString("latin1");
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        if (!/^HTTP\/1\.[01] 200 /.test(head)) {
          return reject(new Error(head.slice(0, head.indexOf("\r\n"))));
        }
        length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
        left = length - (head.length - end - 4);
      }
      if (left > 0) return;
      socket.off("data", received).off("close", over);
      resolve(length - left);
    };
    socket.on("data", received).on("close", over);
    socket.write(`${line}\r\nHost: web.bench\r\n\r\n`);
  });
}
