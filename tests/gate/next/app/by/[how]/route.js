import { ways } from "../../../lib/proxied.js";

/** A route handler: `/by/agent` goes the way of that name, and `/by/start` tells what came of it when the server started. */
export async function GET(_request, { params }) {
  const { how } = await params;
  return new Response(how === "start" ? globalThis.fetched : await ways[how](`/${how}`));
}
