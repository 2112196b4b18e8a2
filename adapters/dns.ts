import { ownDial } from "../src/own_dials.ts";

/**
 * The addresses of a host name as the system knows them, its hosts file included, in its order. None of the runtimes can
 * cancel that: an abort rejects at once, and what comes is dropped.
 */
export async function lookup(
  hostname: string,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<string[]> {
  signal?.throwIfAborted();
  const { lookup } = await loadDns();
  let abort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal!.reason);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
  });
  try {
    const found = await Promise.race([ownDial(() => lookup(hostname, { all: true, verbatim: true })), aborted]);
    return found.map(({ address }) => address).filter((address) => !address.includes("%")); // a zone is of use here alone
  } finally {
    signal?.removeEventListener("abort", abort!);
  }
}

/** Loads what looks names up; at the first lookup at the latest. */
export function loadDns(): Promise<typeof import("node:dns/promises")> {
  return import("node:dns/promises");
}
