// The handshake by hand (RFC 1928, RFC 1929), which the floors share.

export const username = "user";
export const password = "pass";

const encoder = new TextEncoder();

export function greeting(login) {
  return Uint8Array.of(5, 1, login ? 2 : 0);
}

export function userPass() {
  const [uname, passwd] = [encoder.encode(username), encoder.encode(password)];
  return Uint8Array.of(1, uname.length, ...uname, passwd.length, ...passwd);
}

export function request({ hostname, port }) {
  const name = encoder.encode(hostname);
  const message = new Uint8Array(7 + name.length);
  message.set([5, 1, 0, 3, name.length]);
  message.set(name, 5);
  message.set([port >> 8, port & 255], 5 + name.length);
  return message;
}

/** Throws unless an answer begins with these two bytes. */
export function check(answer, first, second) {
  if (answer[0] !== first || answer[1] !== second) {
    throw new Error(`The proxy answered ${answer}`);
  }
}

/** What is to be sent after the greeting, where bytes come as events; `got` is what came too much in the end. */
export class Handshake {
  got;
  #want = 2;
  #step = "chosen";

  constructor(target, login) {
    this.target = target;
    this.login = login;
  }

  /** The next message; `undefined` if the answer goes on, `null` if nothing more is to be sent. */
  next(chunk) {
    const answer = this.got ? Buffer.concat([this.got, chunk]) : chunk;
    this.got = answer.length < this.#want ? answer : undefined;
    if (this.got) return undefined;
    if (this.#step === "connected") {
      check(answer, 5, 0);
      if (answer.length > this.#want) this.got = answer.subarray(this.#want);
      return null;
    }
    if (this.#step === "accepted") check(answer, 1, 0);
    else check(answer, 5, this.login ? 2 : 0);
    if (this.login && this.#step === "chosen") {
      this.#step = "accepted";
      return userPass();
    }
    this.#step = "connected";
    this.#want = 10;
    return request(this.target);
  }
}

/** What goes before a bulk transfer: how many bytes it has. */
export function header(bytes) {
  const message = new Uint8Array(8);
  new DataView(message.buffer).setFloat64(0, bytes);
  return message;
}

export const chunkSize = 64 * 1024;
