import { cannot } from "../errors.ts";
import type { FleetChanges, FleetSuspension } from "./fleet_store.ts";

/** Checks what a store gave for an exchange. */
export function checkChanges(answer: unknown): FleetChanges {
  const { cursor, suspensions } = (answer ?? {}) as FleetChanges;
  if (!(Number.isFinite(cursor) && cursor >= 0)) throw wrong("cursor", "a number", cursor);
  if (!Array.isArray(suspensions)) throw wrong("suspensions", "an array", suspensions);
  return { cursor, suspensions: suspensions.map(checkSuspension) };
}

/** Checks what a store gave for an acquire. */
export function checkGranted(answer: unknown): boolean {
  if (typeof answer === "boolean") return answer;
  throw wrong("the answer of acquire()", "a boolean", answer);
}

function checkSuspension(given: unknown): FleetSuspension {
  const { proxy, reason, hostname, ms } = (given ?? {}) as FleetSuspension;
  if (typeof proxy !== "string") throw wrong("proxy", "a label", proxy);
  if (reason !== "failure" && reason !== "application") throw wrong("reason", `"failure" or "application"`, reason);
  if (hostname !== undefined && typeof hostname !== "string") throw wrong("hostname", "a host name", hostname);
  if (!(typeof ms === "number" && ms >= 0)) throw wrong("ms", "milliseconds", ms);
  return { proxy, reason, ...(hostname !== undefined && { hostname }), ms };
}

function wrong(name: string, want: string, got: unknown): TypeError {
  return new TypeError(`${cannot(name, want, got)}, from the store of the fleet`);
}
