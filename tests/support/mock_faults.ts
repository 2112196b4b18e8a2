/** The steps of a connection, named as the client's phases; "accept" is before the first byte was read. */
export type MockStep = "accept" | "negotiate" | "authenticate" | "request" | "transfer";

/** What a mock proxy does at a step instead of the right thing; whatever is left out stays right. */
export interface MockFault {
  /** The step, or steps, at which it happens: once what the client sends there was read. */
  at: MockStep | readonly MockStep[];
  /** Waited for first: milliseconds, or a function such as {@linkcode MockGate.pass}. */
  wait?: number | (() => Promise<void>);
  /** Sent instead of the right answer; empty for none. */
  answer?: Uint8Array | ((right: Uint8Array) => Uint8Array);
  /** Sends the answer as one segment for each byte. */
  bytewise?: boolean;
  /**
   * What comes after the answer; by default the connection goes on. With it, a request is answered without
   * connecting to the target: with the REP code of its rule, or with success.
   */
  then?: "silence" | "close" | "reset";
}

/** A door that a test opens: what passes waits until then. */
export interface MockGate {
  /** Waits until the gate is open. */
  readonly pass: () => Promise<void>;
  /** Settles as soon as someone has come to the gate. */
  readonly reached: Promise<void>;
  /** Opens the gate, for ever. */
  readonly open: () => void;
}

/** The fields of a SOCKS5 reply (RFC 1928 section 6), as raw as a server may get them wrong. */
export interface ReplyFields {
  ver?: number;
  rep?: number;
  rsv?: number;
  atyp?: number;
  /** BND.ADDR as it is on the wire, with the length byte of a domain. */
  bndAddr?: Uint8Array;
  bndPort?: number;
}

/** A SOCKS5 reply: success with BND 0.0.0.0:0 unless told otherwise. */
export function encodeReply(fields: ReplyFields = {}): Uint8Array {
  const { ver = 5, rep = 0, rsv = 0, atyp = 1, bndAddr = new Uint8Array(4), bndPort = 0 } = fields;
  return Uint8Array.of(ver, rep, rsv, atyp, ...bndAddr, bndPort >> 8, bndPort & 0xff);
}

/** A success whose BND.ADDR is a domain of that many bytes; the tunnel works. */
export function boundToDomain(length: number): MockFault {
  return {
    at: "request",
    answer: encodeReply({ atyp: 3, bndAddr: Uint8Array.of(length, ...ascii("d".repeat(length))) }),
  };
}

/** A gate that is shut. */
export function createGate(): MockGate {
  let open = () => {};
  let arrive = () => {};
  const opened = new Promise<void>((resolve) => open = resolve);
  const reached = new Promise<void>((resolve) => arrive = resolve);
  return { pass: () => (arrive(), opened), reached, open };
}

/** Says nothing from a step on. */
export function silentAt(at: MockStep): MockFault {
  return { at, answer: NOTHING, then: "silence" };
}

/** Ends the connection (FIN) at a step, without its answer. */
export function closesAt(at: MockStep): MockFault {
  return { at, answer: NOTHING, then: "close" };
}

/** Resets the connection (RST) at a step, without its answer; at "accept" it may show as a failure to connect. */
export function resetsAt(at: MockStep): MockFault {
  return { at, answer: NOTHING, then: "reset" };
}

/** Holds a step back for milliseconds, or until a function such as {@linkcode MockGate.pass} lets it go on. */
export function waitsAt(at: MockStep, wait: number | (() => Promise<void>)): MockFault {
  return { at, wait };
}

/** Sends other bytes than the right answer, then by default goes on as those bytes say. */
export function answersAt(at: MockStep, answer: Uint8Array, then?: MockFault["then"]): MockFault {
  return then ? { at, answer, then } : { at, answer };
}

/** Sends the first bytes of the right answer, then closes or whatever else is told. */
export function cutsAt(at: MockStep, length: number, then: MockFault["then"] = "close"): MockFault {
  return answersWith(at, (right) => right.subarray(0, length), then);
}

/** Sends every answer as one segment for each byte. */
export function bytewise(): MockFault {
  return { at: ["negotiate", "authenticate", "request"], bytewise: true };
}

/** An HTTP server on the proxy's port. */
export function answersHttp(): MockFault {
  return answersAt("negotiate", ascii("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "close");
}

/** A SOCKS4 server: it rejects in its own format. */
export function answersSocks4(): MockFault {
  return answersAt("negotiate", Uint8Array.of(0, 0x5b, 0, 0, 0, 0, 0, 0), "close");
}

/** A TLS server: a fatal alert, unexpected_message. */
export function answersTlsAlert(): MockFault {
  return answersAt("negotiate", Uint8Array.of(0x15, 3, 1, 0, 2, 2, 10), "close");
}

/** An SSH server: it speaks first. */
export function speaksSsh(): MockFault {
  return answersAt("accept", ascii("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "silence");
}

/** Chooses a method whether it was offered or not; 0xff refuses all. */
export function choosesMethod(method: number): MockFault {
  return answersAt("negotiate", Uint8Array.of(5, method), method === 0xff ? "close" : "silence");
}

/** Refuses user name and password with a status of its own (RFC 1929: anything but 0 is a refusal). */
export function refusesPassword(status: number): MockFault {
  return answersAt("authenticate", Uint8Array.of(1, status), "close");
}

/** Answers authentication with VER 5 where RFC 1929 wants 1, and goes on. */
export function authenticatesWithVersion5(): MockFault {
  return answersWith("authenticate", (right) => Uint8Array.of(5, ...right.subarray(1)));
}

/** Answers the request with a whole reply of that REP code, then ends: most servers close, dante resets after 05. */
export function repliesWith(rep: number, then: MockFault["then"] = "close"): MockFault {
  return answersAt("request", encodeReply({ rep }), then);
}

/** Ends the connection after VER and REP: `05 05`, EOF. */
export function repliesOnlyWith(rep: number): MockFault {
  return answersAt("request", Uint8Array.of(5, rep), "close");
}

/** Sends RSV other than 0 in a right reply, and goes on. */
export function repliesWithRsv(rsv: number): MockFault {
  return answersWith("request", (right) => right.with(2, rsv));
}

/** Claims success for a target that it never reaches, as shadowsocks and v2ray do. */
export function claimsSuccess(then: "silence" | "close" | "reset"): MockFault {
  return { at: "request", then };
}

/** Sends bytes of the target in the same write as the reply, and goes on. */
export function gluesToReply(bytes: Uint8Array): MockFault {
  return answersWith("request", (right) => Uint8Array.of(...right, ...bytes));
}

/** The bytes of a text in ASCII. */
export function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

const NOTHING = new Uint8Array(0);

function answersWith(at: MockStep, answer: (right: Uint8Array) => Uint8Array, then?: MockFault["then"]): MockFault {
  return then ? { at, answer, then } : { at, answer };
}
