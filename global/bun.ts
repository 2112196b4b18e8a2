import { env } from "node:process";
import { isOwnDial } from "../src/own_dials.ts";
import { type Patches, refusal } from "./patches.ts";

/** What of Bun opens connections of its own, and what to use in its place. */
const OWN = {
  udpSocket: "associate() of the client",
  SQL: "a library over node:net",
  sql: "a library over node:net",
  RedisClient: "a library over node:net",
  redis: "a library over node:net",
  S3Client: "fetch()",
  s3: "fetch()",
};

/**
 * Refuses what Bun does in its own way. `Bun.fetch` cannot be replaced, but goes to the proxy that the environment names: to
 * a port where nobody listens.
 */
export function patchBun(patches: Patches, bun: object): void {
  patches.set(bun, "connect", (connect: (options: { unix?: string }) => unknown) => (options: { unix?: string }) => {
    if (!isOwnDial() && options.unix === undefined) throw refusal("Bun.connect()", "net.connect() of node:net");
    return connect.call(bun, options);
  });
  for (const [name, instead] of Object.entries(OWN)) patches.refuse(bun, name, `Bun.${name}`, instead);
  const nowhere = "http://127.0.0.1:1";
  const all = {
    HTTP_PROXY: nowhere,
    http_proxy: nowhere,
    HTTPS_PROXY: nowhere,
    https_proxy: nowhere,
    NO_PROXY: "",
    no_proxy: "",
  };
  for (const [name, value] of Object.entries(all)) {
    const before = env[name];
    env[name] = value;
    patches.also(() => {
      if (before === undefined) delete env[name];
      else env[name] = before;
    });
  }
}
