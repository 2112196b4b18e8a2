// The runtime's own API.

export const name = globalThis.Deno?.version?.deno ? "deno" : globalThis.Bun?.version ? "bun" : "node";

export const native = await import(`./${name}.mjs`);
