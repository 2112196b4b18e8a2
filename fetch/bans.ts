import type { IncomingMessage } from "node:http";
import type { Call } from "./call.ts";
import { type Answer, type Connections, exchange } from "./exchange.ts";
import { type Fields, type Hop, mayRepeat } from "./hop.ts";
import type { BanRules } from "./options.ts";

/** How long a proxy is suspended if Retry-After does not say it, and at least and at most if it does, in milliseconds. */
const [USUAL, LEAST, MOST] = [60_000, 1_000, 86_400_000];

/** Sends a request; as long as the answer bans the proxy that it came through, and attempts are left, once more. */
export async function exchangeWithBans(
  hop: Hop,
  fields: Fields,
  connections: Connections,
  call: Call,
  { suspend, durations, attempts }: BanRules,
): Promise<Answer> {
  const hostname = hop.url.hostname.replace(/^\[|\]$/g, "");
  const banned = new Set<string>();
  for (;;) {
    const answer = await exchange(hop, fields, connections, call);
    const { message, proxy } = answer;
    const duration = durations.get(message.statusCode!);
    if (duration === undefined || proxy === undefined) return answer;
    suspend(proxy, { for: duration === "retry-after" ? retryAfter(message) : duration, hostname });
    connections.banned?.(proxy, hostname);
    if (banned.size + 1 >= attempts || banned.has(proxy) || !mayRepeat(hop)) return answer; // no other one was left
    banned.add(proxy);
    call.stop!(new Error("The response is dropped, and the request sent through another proxy"));
  }
}

/** The milliseconds that the field Retry-After says (RFC 9110 section 10.2.3), within limits. */
export function retryAfter({ headers }: Pick<IncomingMessage, "headers">): number {
  const field = headers["retry-after"] ?? "";
  const now = dateOf(headers.date ?? "") ?? Date.now(); // a date is one on the clock of the target
  const until = dateOf(field);
  const ms = /^\d+$/.test(field) ? Number(field) * 1000 : until === undefined ? USUAL : until - now;
  return Math.min(Math.max(ms, LEAST), MOST);
}

const TIME = "(\\d\\d:\\d\\d:\\d\\d)";
const DATES = [
  `^[A-Z][a-z]{2}, (?<day>\\d\\d) (?<month>[A-Z][a-z]{2}) (?<year>\\d{4}) (?<time>${TIME}) GMT$`,
  `^[A-Z][a-z]{5,8}, (?<day>\\d\\d)-(?<month>[A-Z][a-z]{2})-(?<year>\\d\\d) (?<time>${TIME}) GMT$`, // RFC 850
  `^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \\d]\\d) (?<time>${TIME}) (?<year>\\d{4})$`, // asctime()
].map((form) => new RegExp(form));

/** A date in one of the three forms that HTTP has had (RFC 9110 section 5.6.7), in milliseconds since 1970. */
function dateOf(field: string): number | undefined {
  for (const form of DATES) {
    const { day, month, year = "", time } = form.exec(field)?.groups ?? {};
    if (time === undefined) continue;
    const date = Date.parse(`${day!.trim()} ${month} ${year.length === 2 ? fullYear(Number(year)) : year} ${time} GMT`);
    return Number.isNaN(date) ? undefined : date;
  }
  return undefined;
}

/** A year of two digits is at most 50 years ahead. */
function fullYear(year: number): number {
  const latest = new Date().getUTCFullYear() + 50;
  return latest - (latest - year) % 100;
}
