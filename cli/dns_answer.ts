import type { Association } from "../mod.ts";
import { within } from "./interrupt.ts";
import { Unproven } from "./outcome.ts";

/** The server that is asked if none is given. */
export const DNS_SERVER = "1.1.1.1:53";

const TRIES = 3;
const WAIT = 1_000; // milliseconds for each, since datagrams are lost

/** Waits until a DNS server answers a query through an association. */
export async function dnsAnswer(association: Association, server: string, signal: AbortSignal): Promise<void> {
  const id = crypto.getRandomValues(new Uint8Array(2));
  for (let i = 0; i < TRIES; i++) {
    await association.send(queryOf(id), server);
    const isOpen = await within(WAIT, signal, (signal) => hears(association, id, signal));
    if (isOpen === true) return;
    if (isOpen === false) throw new Unproven("the proxy closed the association");
  }
  throw new Unproven(`no answer came from the DNS server within ${TRIES} seconds`);
}

/** A query for the name servers of the root (RFC 1035 section 4.1), which every server can answer or refuse. */
function queryOf(id: Uint8Array): Uint8Array {
  const [flags, counts, name, type, class_] = [[1, 0], [0, 1, 0, 0, 0, 0, 0, 0], [0], [0, 2], [0, 1]] as const;
  return Uint8Array.of(...id, ...flags, ...counts, ...name, ...type, ...class_);
}

/** Whether an answer came before the association ended. */
async function hears(association: Association, id: Uint8Array, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    const datagram = await association.receive({ signal });
    if (datagram === null) return false;
    const [first, second, flags = 0] = datagram.data;
    const isResponse = (flags & 0x80) !== 0;
    if (datagram.data.length >= 12 && first === id[0] && second === id[1] && isResponse) return true;
  }
}
