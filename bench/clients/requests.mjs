import http from "node:http";
import https from "node:https";

/** Requests of `node:http` and `node:https` with an agent for each; `get` gives how many bytes the body has. */
export function byAgents(origin, agents) {
  return {
    get: (isSecure, path) =>
      new Promise((resolve, reject) => {
        const agent = isSecure ? agents.https : agents.http;
        (isSecure ? https : http).get(
          origin(isSecure) + path,
          { agent },
          (response) => {
            let bytes = 0;
            response.on("data", (chunk) => bytes += chunk.length).on(
              "end",
              () => resolve(bytes),
            ).on("error", reject);
          },
        ).on("error", reject);
      }),
  };
}

/** Requests of a `fetch`; `init` goes with each. */
export function byFetch(origin, fetch, init) {
  return {
    async get(isSecure, path) {
      const response = await fetch(origin(isSecure) + path, init);
      if (Number(response.headers.get("content-length")) < 65_536) {
        return (await response.arrayBuffer()).byteLength;
      }
      let bytes = 0;
      for await (const chunk of response.body) bytes += chunk.length;
      return bytes;
    },
  };
}

/** Requests of undici through a dispatcher: by its `fetch`, or by its `request`. */
export function byDispatcher(origin, { fetch, request }, dispatcher, way) {
  if (way === "fetch") return byFetch(origin, fetch, { dispatcher });
  return {
    async get(isSecure, path) {
      const { body } = await request(origin(isSecure) + path, { dispatcher });
      let bytes = 0;
      for await (const chunk of body) bytes += chunk.length;
      return bytes;
    },
  };
}
