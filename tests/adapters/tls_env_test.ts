import { assertEquals } from "@std/assert";
import { execFile } from "node:child_process";
import { createServer } from "node:https";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { certificates } from "../support/certificates.ts";
import { withProxy } from "../support/stage.ts";
import { quick, test } from "../support/test.ts";
import { paths } from "../support/tls_paths.ts";

const program = fileURLToPath(new URL("../support/tls_env_program.ts", import.meta.url));

for (const value of [undefined, "0"]) {
  test(
    `a certificate that nobody trusts is taken if an option says so, with NODE_TLS_REJECT_UNAUTHORIZED ${value}`,
    async () => {
      const server = createServer(certificates().stranger, (_, response) => response.end());
      server.on("tlsClientError", (_error, socket) => socket.destroy());
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as { port: number };
      try {
        await withProxy({}, async (proxy) => {
          const { NODE_TLS_REJECT_UNAUTHORIZED: _, ...others } = process.env;
          const env = { ...others, ...(value !== undefined && { NODE_TLS_REJECT_UNAUTHORIZED: value }) };
          const flags = "Deno" in globalThis ? ["run", "--allow-all", "--no-check", "--no-lock"] : [];
          const args = [...flags, program, proxy.url, `127.0.0.1:${port}`];
          const { stdout } = await promisify(execFile)(process.execPath, args, { env, timeout: 30_000 });
          const refused = [...paths.map(({ name }) => name), "connect", "startTls", "agent", "agent, undefined"];
          assertEquals(JSON.parse(stdout), {
            ...Object.fromEntries([...refused, "request: true"].map((name) => [name, "refused"])),
            "request: false": "taken",
            "agent: false": "taken",
          });
        });
      } finally {
        server.closeAllConnections?.();
        await new Promise((resolve) => server.close(resolve));
      }
    },
    { skip: quick },
  );
}
