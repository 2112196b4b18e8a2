import { ways } from "../lib/proxied.js";

/** A server component, rendered at each request. */
export default async function Page({ searchParams }) {
  await searchParams;
  return <p>{await ways.fetch("/component")}</p>;
}
