// The package itself, on the runtime's own sockets.
import { Socks5Client } from "../../mod.ts";
import { chunkSize, header } from "../native/messages.mjs";
import { native } from "../native/runtime.mjs";
import { proxyUrl } from "./url.mjs";

const variants = {
  sequential: {},
  pipelined: { handshake: "pipelined" },
  warm: { pool: { warm: 1 } },
  "warm, early data": { pool: { warm: 1 } },
};

export function open({ variant = "sequential", ...setup }) {
  const { pool, ...options } = variants[variant];
  const client = new Socks5Client(proxyUrl(setup, "socks5h"), {
    ...options,
    pool: { maxOpen: Infinity, ...pool },
  });
  const data = new TextEncoder().encode("x");
  const early = variant.endsWith("early data");

  return {
    dial: (target) => client.connect(target),
    close: (conn) => conn.close(),
    download,
    upload,

    async firstByte() {
      const conn = await client.connect("echo.bench:80", early ? { data } : {});
      try {
        if (!early) await conn.write(data);
        await conn.read(new Uint8Array(1));
      } finally {
        conn.close();
      }
    },

    /** Waits until a warm session is there, if the client keeps any; it may begin to with the first connect. */
    async ready() {
      if (!pool) return;
      if (client.stats().connects === 0) {
        (await client.connect("echo.bench:80")).close();
      }
      for (const end = performance.now() + 2_000; client.stats().warm === 0;) {
        if (performance.now() > end) {
          throw new Error("no session became warm in 2 s");
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
  };
}

/** By `read`, by `readable`, or by the runtime's own socket. */
async function download(conn, bytes, way) {
  if (way === "detach") {
    return await native.download(native.adopt(conn.detach()), bytes);
  }
  await conn.write(header(bytes));
  let left = bytes;
  if (way === "streams") {
    for await (const chunk of conn.readable) {
      if ((left -= chunk.length) <= 0) return;
    }
  }
  const chunk = new Uint8Array(chunkSize);
  while (left > 0) left -= await conn.read(chunk);
}

/** By `write`, by `writable`, or by the runtime's own socket. */
async function upload(conn, bytes, way) {
  if (way === "detach") {
    return await native.upload(native.adopt(conn.detach()), bytes);
  }
  await conn.write(header(bytes));
  const chunk = new Uint8Array(chunkSize);
  const writer = way === "streams" ? conn.writable.getWriter() : conn;
  for (let left = bytes; left > 0; left -= chunkSize) await writer.write(chunk);
  await conn.read(new Uint8Array(1));
}
