/** What Next.js calls when the server starts, before any request. */
export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { fetch, ways } = await import("./lib/proxied.js");
  if (process.env.REPLACE) globalThis.fetch = fetch; // Next.js wraps it, and caches what comes
  globalThis.fetched = await ways.fetch("/instrumentation");
}
