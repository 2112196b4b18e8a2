import { checkOptions, choice, isBytes, type Known } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import { milliseconds } from "../src/config/settings.ts";
import { whole } from "./validate.ts";
import type { TestEnding, TestFault, TestStep } from "./faults.ts";
import { encodeReply, type ReplyFields } from "./reply.ts";

/** What a fault makes of its steps; whatever is left out stays right. */
export interface Script {
  readonly at: readonly TestStep[];
  readonly wait?: number | (() => Promise<unknown>) | undefined;
  readonly answer?: ((right: Uint8Array) => Uint8Array) | undefined;
  readonly bytewise?: boolean | undefined;
  readonly then?: TestEnding | undefined;
}

/** What happens at one step: its faults, added up. */
export interface Action {
  readonly waits: readonly NonNullable<Script["wait"]>[];
  readonly answer: (right: Uint8Array) => Uint8Array;
  readonly bytewise: boolean;
  readonly then: TestEnding | undefined;
}

/** Checks one fault or several, as a caller gave them; throws a `TypeError` or a `RangeError` that names what is wrong. */
export function scriptsOf(faults: TestFault | readonly TestFault[] | undefined): Script[] {
  return [faults ?? []].flat().map((it) => {
    if (typeof it !== "object") {
      throw new TypeError(cannot("fault", 'a fault such as { fault: "close", at: "request" }', it));
    }
    const fault = choice("fault", it.fault, NAMES);
    const make = SCRIPTS[fault] as (fault: TestFault) => Script;
    return make(checkOptions(`the fault ${fault}`, it, MEMBERS[fault]));
  });
}

/** Adds up what the faults of a connection make of a step. */
export function actionOf(scripts: readonly Script[], at: TestStep): Action {
  const here = scripts.filter((it) => it.at.includes(at));
  return {
    waits: here.flatMap((it) => it.wait === undefined ? [] : [it.wait]),
    answer: (right) => here.reduce((bytes, it) => it.answer ? it.answer(bytes) : bytes, right),
    bytewise: here.some((it) => it.bytewise),
    then: here.findLast((it) => it.then)?.then,
  };
}

const STEPS: readonly TestStep[] = ["accept", "negotiate", "authenticate", "request", "arrival", "transfer"];
const ENDINGS: readonly TestEnding[] = ["silence", "close", "reset"];

const SCRIPTS: { readonly [K in TestFault["fault"]]: (fault: Extract<TestFault, { fault: K }>) => Script } = {
  silence: ({ at }) => ends(at, "silence"),
  close: ({ at }) => ends(at, "close"),
  reset: ({ at }) => ends(at, "reset"),
  wait: ({ at, for: wait }) => {
    if (typeof wait === "function") return { at: steps(at), wait };
    if (wait === undefined) throw new TypeError(cannot("for", "milliseconds or a function", wait));
    return { at: steps(at), wait: milliseconds("for", wait, 0) };
  },
  slow: ({ at = ["negotiate", "authenticate", "request"] }) => ({ at: steps(at), bytewise: true }),
  cut: ({ at, length, then = "close" }) => {
    const end = whole("length", length, 65_535);
    return says(at, (right) => right.subarray(0, end), then);
  },
  answer: ({ at, bytes, then }) => {
    if (typeof bytes !== "function") return says(at, bytesOf(bytes), then);
    return says(at, (right) => bytesOf(bytes(right)), then);
  },
  garbage: ({ at, then = "close" }) => says(at, GARBAGE, then),
  "wrong-version": ({ at, version = 4 }) => {
    const ver = whole("version", version);
    return says(at, (right) => right.length === 0 ? right : Uint8Array.of(ver, ...right.subarray(1)));
  },
  http: () => says("negotiate", bytesOf("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "close"),
  socks4: () => says("negotiate", Uint8Array.of(0, 0x5b, 0, 0, 0, 0, 0, 0), "close"),
  tls: () => says("negotiate", TLS_UNEXPECTED_MESSAGE, "close"),
  ssh: () => says("accept", bytesOf("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "silence"),
  method: ({ method }) =>
    says("negotiate", Uint8Array.of(5, whole("method", method)), method === 0xff ? "close" : "silence"),
  "refuse-password": ({ status = 1 }) => says("authenticate", Uint8Array.of(1, whole("status", status)), "close"),
  refuse: ({ rep, then = "close" }) => says("request", encodeReply({ rep: whole("rep", rep) }), then),
  "short-refusal": ({ rep }) => says("request", Uint8Array.of(5, whole("rep", rep)), "close"),
  reply: ({ reply, then }) =>
    says("request", encodeReply(checkOptions("reply", reply, REPLY, "the fields of a reply")), then),
  rsv: ({ rsv }) => {
    const byte = whole("rsv", rsv);
    return says("request", (right) => Uint8Array.from(right).fill(byte, 2, 3));
  },
  "bound-domain": ({ length }) => {
    const domain = bytesOf("d".repeat(whole("length", length)));
    return says("request", encodeReply({ atyp: 3, bndAddr: Uint8Array.of(domain.length, ...domain) }));
  },
  glued: ({ bytes }) => {
    const banner = bytesOf(bytes);
    return says("request", (right) => Uint8Array.of(...right, ...banner));
  },
  "false-success": ({ then = "close" }) => ({ at: ["request"], then: choice("then", then, ENDINGS) }),
};

type Named<K> = TestFault extends infer F ? F extends { fault: infer N } ? K extends N ? F : never : never : never;

const MEMBERS: { readonly [K in TestFault["fault"]]: Known<Named<K>> } = {
  silence: { fault: true, at: true },
  close: { fault: true, at: true },
  reset: { fault: true, at: true },
  wait: { fault: true, at: true, for: true },
  slow: { fault: true, at: true },
  cut: { fault: true, at: true, length: true, then: true },
  answer: { fault: true, at: true, bytes: true, then: true },
  garbage: { fault: true, at: true, then: true },
  "wrong-version": { fault: true, at: true, version: true },
  http: { fault: true },
  socks4: { fault: true },
  tls: { fault: true },
  ssh: { fault: true },
  method: { fault: true, method: true },
  "refuse-password": { fault: true, status: true },
  refuse: { fault: true, rep: true, then: true },
  "short-refusal": { fault: true, rep: true },
  reply: { fault: true, reply: true, then: true },
  rsv: { fault: true, rsv: true },
  "bound-domain": { fault: true, length: true },
  glued: { fault: true, bytes: true },
  "false-success": { fault: true, then: true },
};

const REPLY: Known<ReplyFields> = { ver: true, rep: true, rsv: true, atyp: true, bndAddr: true, bndPort: true };

const NAMES = Object.keys(SCRIPTS) as TestFault["fault"][];
const GARBAGE = Uint8Array.of(0x9e, 0xff, 0xfe, 0x9e, 0xff, 0xfe, 0x9e, 0xff, 0xfe, 0x9e);
const TLS_UNEXPECTED_MESSAGE = Uint8Array.of(0x15, 3, 1, 0, 2, 2, 10);

function ends(at: TestStep | readonly TestStep[], then: TestEnding): Script {
  return says(at, new Uint8Array(0), then);
}

function says(
  at: TestStep | readonly TestStep[],
  answer: Uint8Array | ((right: Uint8Array) => Uint8Array),
  then?: TestEnding,
): Script {
  return {
    at: steps(at),
    answer: typeof answer === "function" ? answer : () => answer,
    then: then === undefined ? undefined : choice("then", then, ENDINGS),
  };
}

function steps(at: TestStep | readonly TestStep[]): TestStep[] {
  return [at].flat().map((it) => choice("at", it, STEPS));
}

function bytesOf(bytes: Uint8Array | string): Uint8Array {
  if (typeof bytes === "string") return new TextEncoder().encode(bytes);
  if (!isBytes(bytes)) throw new TypeError(cannot("bytes", "a Uint8Array or a string", bytes));
  return bytes;
}
