import { ways } from "../../lib/proxied.js";

/** What is fetched within `use cache` is fetched once. */
export default async function Page({ searchParams }) {
  await searchParams;
  return <p>{await cached()}</p>;
}

async function cached() {
  "use cache";
  return await ways.fetch("/cached");
}
