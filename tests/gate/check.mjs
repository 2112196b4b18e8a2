// What someone who installed the package does first, told with the entries that were imported or required.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import process from "node:process";

export async function check({ Socks5Client, TargetError }, { nodeTransport }) {
  const echo = await listening((socket) => socket.pipe(socket));
  const proxy = await listening((socket) => serve(socket).catch(() => socket.destroy()));
  for (const options of [{}, { transport: nodeTransport }]) {
    const client = new Socks5Client(`socks5h://user:pass@127.0.0.1:${proxy.address().port}`, options);
    const conn = await client.connect(`127.0.0.1:${echo.address().port}`);
    await conn.write(new TextEncoder().encode("ping"));
    const answer = new Uint8Array(4);
    for (let got = 0; got < 4;) got += await conn.read(answer.subarray(got));
    assert.equal(new TextDecoder().decode(answer), "ping");
    conn.close();
    await assert.rejects(client.connect("127.0.0.1:1"), (error) => error instanceof TargetError && error.rep === 5);
    await client.close();
  }
  echo.close();
  proxy.close();
  const { bun, node } = process.versions;
  console.log(`connected on ${bun ? `Bun ${bun}` : `Node ${node}`}`);
}

async function listening(serve) {
  const server = net.createServer((socket) => serve(socket.on("error", () => {})));
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

// A SOCKS5 proxy for user:pass and IPv4.
async function serve(socket) {
  let buffer = Buffer.alloc(0);
  let arrived = () => {};
  const keep = (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    arrived();
  };
  const take = async (length) => {
    while (buffer.length < length) await new Promise((resolve) => arrived = resolve);
    const taken = buffer.subarray(0, length);
    buffer = buffer.subarray(length);
    return taken;
  };
  socket.on("data", keep);
  const [, methods] = await take(2);
  assert((await take(methods)).includes(2));
  socket.write(Buffer.of(5, 2));
  const username = await take((await take(2))[1]);
  const password = await take((await take(1))[0]);
  socket.write(Buffer.of(1, `${username}:${password}` === "user:pass" ? 0 : 1));
  const request = await take(10);
  assert.deepEqual([...request.subarray(0, 4)], [5, 1, 0, 1]);
  const target = net.connect(request.readUInt16BE(8), request.subarray(4, 8).join("."));
  const answer = (rep) => socket.write(Buffer.of(5, rep, 0, 1, 0, 0, 0, 0, 0, 0));
  target.on("error", () => {
    answer(5);
    socket.end();
  });
  await once(target, "connect");
  answer(0);
  socket.off("data", keep);
  target.write(buffer);
  socket.pipe(target).pipe(socket);
}
