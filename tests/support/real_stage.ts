import { Socks5Client, type Socks5Options } from "../../mod.ts";
import type { RealProgram, RealProxy } from "./real_program.ts";

/** Runs `use` with a real proxy. */
export async function withRealProxy(program: RealProgram, use: (proxy: RealProxy) => Promise<void>): Promise<void> {
  const proxy = await program.start();
  try {
    await use(proxy);
  } finally {
    await proxy.stop();
  }
}

/** Runs `use` with a client, which is closed in the end. */
export async function withClient(
  proxy: ConstructorParameters<typeof Socks5Client>[0],
  options: Socks5Options,
  use: (client: Socks5Client) => Promise<void>,
): Promise<void> {
  const client = new Socks5Client(proxy, options);
  try {
    await use(client);
  } finally {
    await client.close();
  }
}
