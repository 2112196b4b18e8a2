// The floor on Deno: Deno.connect and a handshake by hand.
import { check, chunkSize, greeting, header, request, userPass } from "./messages.mjs";

export async function connect({ hostname, port }) {
  const conn = await Deno.connect({ hostname, port });
  conn.setNoDelay(true);
  conn.setKeepAlive(true);
  return conn;
}

export async function tunnel(proxy, target, login) {
  const conn = await connect(proxy);
  try {
    await writeAll(conn, greeting(login));
    check(await readFull(conn, 2), 5, login ? 2 : 0);
    if (login) {
      await writeAll(conn, userPass());
      check(await readFull(conn, 2), 1, 0);
    }
    await writeAll(conn, request(target));
    check(await readFull(conn, 10), 5, 0);
    return conn;
  } catch (error) {
    conn.close();
    throw error;
  }
}

async function readFull(conn, length) {
  const bytes = new Uint8Array(length);
  for (let got = 0; got < length;) {
    const n = await conn.read(got === 0 ? bytes : bytes.subarray(got));
    if (n === null) throw new Error("The proxy hung up");
    got += n;
  }
  return bytes;
}

async function writeAll(conn, bytes) {
  for (let sent = 0; sent < bytes.length;) {
    sent += await conn.write(sent === 0 ? bytes : bytes.subarray(sent));
  }
}

export function close(conn) {
  conn.close();
}

export async function echo(conn) {
  await writeAll(conn, Uint8Array.of(1));
  await readFull(conn, 1);
}

export async function download(conn, bytes) {
  await writeAll(conn, header(bytes));
  const chunk = new Uint8Array(chunkSize);
  for (let left = bytes; left > 0;) left -= await conn.read(chunk);
}

export async function upload(conn, bytes) {
  await writeAll(conn, header(bytes));
  const chunk = new Uint8Array(chunkSize);
  for (let left = bytes; left > 0; left -= chunkSize) {
    await writeAll(conn, chunk);
  }
  await readFull(conn, 1);
}

/** What `detach()` of ours gives. */
export function adopt({ socket }) {
  return socket;
}
