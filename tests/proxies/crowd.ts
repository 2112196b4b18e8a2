import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** What is wrong with a proxy; `"slow"` works, late. */
export type Manner = (typeof BAD)[number] | "good";

/** Ten ways of being bad. */
export const BAD = [
  "dead",
  "silent",
  "hangs up",
  "resets",
  "wrong password",
  "foreign",
  "garbage",
  "cut",
  "refuses",
  "slow",
] as const;

/** A proxy with an exit address of its own, which is where it listens, too. */
export interface CrowdProxy {
  readonly url: string;
  readonly label: string;
  readonly address: string;
  readonly manner: Manner;
  /** Connections that are open now. */
  open: number;
  /** How many were open at a time at most. */
  most: number;
  /** Connections since it was started. */
  connections: number;
}

/** Many proxies of this process, and the site that they lead to. */
export interface Crowd {
  readonly proxies: readonly CrowdProxy[];
  /** Tells each that connects its address, and closes. */
  readonly echo: string;
  /** Answers with the address from which it is asked. */
  readonly site: URL;
  close(): Promise<void>;
}

/** Lets the `i`th of `count` proxies listen at 127.0.1.`i + 1`, of which `bad` have manners of that list in turn. */
export async function startCrowd(
  { count, bad, answer }: {
    count: number;
    bad: number;
    answer: (address: string) => { status: number; after?: number };
  },
): Promise<Crowd> {
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const listen = async (server: Server, host: string): Promise<number> => {
    servers.push(server);
    server.on("connection", (socket) => {
      sockets.add(socket.on("close", () => sockets.delete(socket)).on("error", () => {}));
    });
    server.listen({ host, port: 0, backlog: 511 });
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  };
  const echo = await listen(createServer((socket) => void socket.end(socket.remoteAddress!)), "127.0.0.1");
  const site = await listen(
    createHttpServer((request, response) => {
      const address = request.socket.remoteAddress!;
      const { status, after } = answer(address);
      response.writeHead(status, after === undefined ? {} : { "Retry-After": after }).end(address);
    }),
    "127.0.0.1",
  );
  const proxies: CrowdProxy[] = [];
  for (let i = 0; i < count; i++) {
    const address = `127.0.1.${i + 1}`;
    // spread over the list
    const nth = Math.floor((i + 1) * bad / count);
    const manner: Manner = nth > Math.floor(i * bad / count) ? BAD[nth % BAD.length]! : "good";
    const password = manner === "wrong password" ? "old" : "pass";
    const counts = { open: 0, most: 0, connections: 0 };
    const server = createServer((client) => {
      counts.connections++;
      const over = Promise.withResolvers<void>();
      client.setNoDelay(true).on("end", over.resolve).on("close", over.resolve);
      // a connection whose end has come at the same time may be told later
      setImmediate(() => {
        counts.most = Math.max(counts.most, ++counts.open);
        void over.promise.then(() => counts.open--);
      });
      serve(client, address, manner);
    });
    const port = await listen(server, address);
    if (manner === "dead") server.close();
    proxies.push(Object.assign(counts, {
      url: `socks5h://user:${password}@${address}:${port}`,
      label: `${address}:${port}`,
      address,
      manner,
    }));
  }
  return {
    proxies,
    echo: `127.0.0.1:${echo}`,
    site: new URL(`http://127.0.0.1:${site}`),
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

/** A SOCKS5 server for one connection (RFC 1928, RFC 1929), as good as its manner. */
function serve(client: Socket, address: string, manner: Manner): void {
  let step: "greeting" | "password" | "request" = "greeting";
  const reply = (...bytes: number[]) => {
    if (manner === "slow") setTimeout(() => client.writable && client.write(Uint8Array.from(bytes)), 150);
    else client.write(Uint8Array.from(bytes));
  };
  const onData = (chunk: Uint8Array) => {
    if (step === "greeting") {
      if (manner === "silent") return;
      if (manner === "hangs up") return void client.end();
      if (manner === "resets") return void client.resetAndDestroy();
      if (manner === "foreign") return void client.end("HTTP/1.1 400 Bad Request\r\n\r\n");
      if (manner === "garbage") return void client.end(new Uint8Array(20).fill(0xa5));
      step = "password";
      return reply(5, 2);
    }
    if (step === "password") {
      step = "request";
      const isRight = new TextDecoder().decode(chunk).endsWith("pass");
      return isRight ? reply(1, 0) : void client.end(Uint8Array.of(1, 1));
    }
    if (manner === "cut") return void client.end(Uint8Array.of(5, 0, 0));
    if (manner === "refuses") return void client.end(Uint8Array.of(5, 1, 0, 1, 0, 0, 0, 0, 0, 0));
    client.off("data", onData).pause();
    const port = chunk[8]! << 8 | chunk[9]!;
    const target = connect({ host: [...chunk.subarray(4, 8)].join("."), port, localAddress: address }, () => {
      reply(5, 0, 0, 1, 0, 0, 0, 0, 0, 0);
      if (manner !== "slow") return join();
      setTimeout(join, 160);
    });
    const join = () => {
      client.pipe(target);
      target.pipe(client);
    };
    const end = () => (client.destroy(), target.destroy());
    for (const socket of [client, target]) socket.on("error", end);
    client.on("close", () => target.destroy());
    target.on("close", () => client.end());
  };
  client.on("data", onData);
}
