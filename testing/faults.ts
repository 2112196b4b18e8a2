import type { ReplyFields } from "./reply.ts";

/**
 * The steps of a connection, named as the client's phases: `"accept"` is before the first byte was read, `"negotiate"`
 * once the greeting was read, `"authenticate"` the password, `"request"` the request; `"arrival"` is the second reply
 * of BIND, `"transfer"` the tunnel.
 */
export type TestStep = "accept" | "negotiate" | "authenticate" | "request" | "arrival" | "transfer";

/** What the proxy does after a faulty answer: sends nothing more, ends the connection (FIN), or resets it (RST). */
export type TestEnding = "silence" | "close" | "reset";

/** One step or several. */
export type TestSteps = TestStep | readonly TestStep[];

/**
 * What goes wrong, by name. A fault shows once what the client sends at its step was read. Several at one step add up,
 * in their order: `[{ fault: "wait", at: "request", for: 50 }, { fault: "refuse", rep: 5 }]`.
 *
 * | `fault` | what the proxy does |
 * | --- | --- |
 * | `silence`, `close`, `reset` | no answer at the step, and none after it; the end; a reset, which at `accept` may show as a failure to connect |
 * | `wait` | holds the step back for milliseconds, or until a promise settles; in the tunnel, what follows in the list is what then happens |
 * | `slow` | one segment for each byte of the answers, by default of all |
 * | `cut` | the first `length` bytes of the right answer, then `close` |
 * | `answer` | other bytes than the right answer, which may be made of it; without `then` the connection goes on as they say |
 * | `garbage` | bytes that are an answer in no protocol, then `close` |
 * | `wrong-version` | VER is another one, by default 4; all else is right, and the connection goes on |
 * | `http`, `socks4`, `tls`, `ssh` | another server is on the port: it answers the greeting in its own way; ssh speaks first |
 * | `method` | chooses that METHOD, offered or not; 255 refuses all and closes |
 * | `refuse-password` | a status other than 0, by default 1, then `close` |
 * | `refuse` | the REP code with a whole reply, then `close`; dante resets after 5 |
 * | `short-refusal` | VER and REP alone, then the end |
 * | `reply` | those fields, as wrong as they may be; without `then` the connection goes on as they say |
 * | `rsv` | RSV other than 0 in a right reply |
 * | `bound-domain` | success with a domain of `length` bytes as BND.ADDR, 0 to 255; the tunnel works |
 * | `glued` | bytes of the target in the same write as the right reply |
 * | `false-success` | success for a target that was never connected to, then by default `close`, as shadowsocks and v2ray |
 *
 * With a `then`, a request is answered without connecting to the target.
 */
export type TestFault =
  | { fault: "silence" | "close" | "reset"; at: TestSteps }
  | { fault: "wait"; at: TestSteps; for: number | (() => Promise<unknown>) }
  | { fault: "slow"; at?: TestSteps | undefined }
  | { fault: "cut"; at: TestSteps; length: number; then?: TestEnding | undefined }
  | {
    fault: "answer";
    at: TestSteps;
    bytes: Uint8Array | string | ((right: Uint8Array) => Uint8Array);
    then?: TestEnding | undefined;
  }
  | { fault: "garbage"; at: TestSteps; then?: TestEnding | undefined }
  | { fault: "wrong-version"; at: TestSteps; version?: number | undefined }
  | { fault: "http" | "socks4" | "tls" | "ssh" }
  | { fault: "method"; method: number }
  | { fault: "refuse-password"; status?: number | undefined }
  | { fault: "refuse"; rep: number; then?: TestEnding | undefined }
  | { fault: "short-refusal"; rep: number }
  | { fault: "reply"; reply: ReplyFields; then?: TestEnding | undefined }
  | { fault: "rsv"; rsv: number }
  | { fault: "bound-domain"; length: number }
  | { fault: "glued"; bytes: Uint8Array | string }
  | { fault: "false-success"; then?: TestEnding | undefined };
