import { Socks5Client, type Socks5Conn, Socks5Error, type Target } from "../mod.ts";
import { interruptible } from "./interrupt.ts";
import type { CliIo } from "./io.ts";
import { UsageError } from "./outcome.ts";
import { proxiesOf } from "./proxies.ts";
import type { Given } from "./usage.ts";

/** Joins standard input and output to a target; gives what the process ends with. */
export async function connect(given: Given, io: CliIo): Promise<number> {
  const timeout = given.number("timeout", 1);
  const { proxies, rest } = await proxiesOf(given, io);
  const client = new Socks5Client(proxies.map(({ url }) => url), { timeout, attemptTimeout: timeout });
  try {
    return await interruptible(io, async (signal) => {
      const conn = await client.connect(targetOf(rest), { signal });
      const close = () => conn.close();
      signal.addEventListener("abort", close);
      await join(conn, io).catch((error) => {
        throw signal.aborted ? signal.reason : error;
      });
      return 0;
    });
  } finally {
    await client.close();
  }
}

function targetOf([host, port, ...more]: readonly string[]): Target {
  if (host === undefined || more.length > 0) {
    throw new UsageError("give one target, as HOST:PORT or HOST PORT", "connect");
  }
  if (port === undefined) return host;
  if (!/^\d+$/.test(port)) {
    throw new UsageError("PORT is a number: give one target, as HOST:PORT or HOST PORT", "connect");
  }
  return { hostname: host, port: Number(port) };
}

/** Both ways at once; each end is passed on, and what was under way arrives before it. */
async function join(conn: Socks5Conn, { stdin, stdout }: CliIo): Promise<void> {
  let unsent: unknown;
  const sending = send(stdin, conn).catch((error) => {
    unsent = error;
    if (!(error instanceof Socks5Error)) conn.close(); // it is not the tunnel that broke
  });
  try {
    const buffer = new Uint8Array(65_536);
    for (let n; (n = await conn.read(buffer)) !== null;) await stdout.write(buffer.subarray(0, n));
  } catch (error) {
    throw unsent ?? error;
  }
  // whoever waits for the end of the output before he ends the input must not wait for ever
  if (!await stdout.end()) return;
  await sending;
  if (unsent !== undefined) throw unsent;
}

async function send(stdin: AsyncIterable<Uint8Array>, conn: Socks5Conn): Promise<void> {
  for await (const chunk of stdin) await conn.write(chunk);
  await conn.closeWrite();
}
