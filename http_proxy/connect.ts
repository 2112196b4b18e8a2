import { explain } from "../src/attempt/explain.ts";
import { type Phase, ProtocolError, Socks5Error, type Socks5ErrorCode, unretried } from "../src/errors.ts";
import { guard } from "../src/guarded_conn.ts";
import { type Address, parseTarget } from "../src/protocol/address.ts";
import { BadHead, HeadCutOff, readResponseHead, type ResponseHead } from "../src/response_head.ts";
import { runtime } from "../src/runtime.ts";
import type { Conn, DialOptions, Endpoint, TlsOptions, Transport } from "../src/transport.ts";
import { withHead } from "./head_conn.ts";
import type { HttpProxy } from "./proxy.ts";

/** Opens a tunnel through an HTTP proxy (RFC 9110 section 9.3.6); closes what it has opened if that fails. */
export async function connectThrough<S>(
  proxy: HttpProxy,
  transport: Transport<S>,
  to: Endpoint,
  options: DialOptions = {},
): Promise<Conn<S>> {
  if ("path" in to) throw new TypeError("Cannot connect to a unix socket through an HTTP proxy");
  const target = parseTarget(to);
  const { signal } = options;
  signal?.throwIfAborted();
  let conn: Conn<S> | undefined;
  let phase: Phase = "dial";
  const abort = () => conn?.close();
  signal?.addEventListener("abort", abort);
  try {
    conn = guard(await transport.connect(proxy.endpoint, options), "connect()");
    signal?.throwIfAborted();
    if (proxy.tls !== null) conn = await withTls(conn, proxy.tls);
    signal?.throwIfAborted();
    phase = "negotiate";
    await conn.write(requestOf(target, proxy));
    const head = await readResponseHead(conn);
    if (head.status < 200 || head.status > 299) {
      phase = isAboutCredentials(head) ? "authenticate" : "request";
      throw refusal(head, proxy);
    }
    signal?.throwIfAborted();
    return withHead(conn, head.rest);
  } catch (error) {
    conn?.close();
    throw signal?.aborted ? signal.reason : failureOf(error, phase, proxy, target);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** Loaded by the first proxy that has it. */
async function withTls<S>(conn: Conn<S>, tls: TlsOptions): Promise<Conn<S>> {
  const { startTls } = await import("../src/tunnel/start_tls.ts");
  return await startTls(conn, tls, runtime().startTls, "proxy");
}

/** A parsed name has no character that ends a line. */
function requestOf({ name }: Address, { authorization }: HttpProxy): Uint8Array {
  const fields = [`CONNECT ${name} HTTP/1.1`, `Host: ${name}`];
  if (authorization !== null) fields.push(`Proxy-Authorization: ${authorization}`);
  return new TextEncoder().encode(fields.map((it) => `${it}\r\n`).join("") + "\r\n");
}

const CODES: Readonly<Record<number, Socks5ErrorCode>> = {
  403: "SOCKS5_TARGET_NOT_ALLOWED",
  405: "SOCKS5_TARGET_BAD_COMMAND",
  501: "SOCKS5_TARGET_BAD_COMMAND",
  502: "SOCKS5_TARGET_HOST_UNREACHABLE",
  504: "SOCKS5_TARGET_HOST_UNREACHABLE",
};

/** tinyproxy answers wrong ones with 401. */
function isAboutCredentials({ status }: ResponseHead): boolean {
  return status === 407 || status === 401;
}

function refusal(head: ResponseHead, { authorization, secrets }: HttpProxy): ProtocolError {
  const { status, reason, fields } = head;
  const isShown = reason !== "" && !secrets.some((secret) => reason.includes(secret));
  const answer = isShown ? `${status} ${reason.slice(0, 80)}` : `${status}`;
  if (!isAboutCredentials(head)) {
    return new ProtocolError(CODES[status] ?? FAILED, `the HTTP proxy refused it (${answer})`);
  }
  if (authorization === null) {
    return new ProtocolError("SOCKS5_AUTH_NO_METHOD", `the HTTP proxy wants a user name and password (${answer})`);
  }
  return /(^|,)\s*basic\b/i.test(fields.get("proxy-authenticate") ?? "basic")
    ? new ProtocolError("SOCKS5_AUTH_REFUSED", `the HTTP proxy refused the user name and password (${answer})`)
    : new ProtocolError("SOCKS5_AUTH_NO_METHOD", `the HTTP proxy wants another scheme than Basic (${answer})`);
}

const FAILED = "SOCKS5_TARGET_FAILED";

/** As that of a hop; what a client has tried again already, and wrong arguments, stay what they are. */
function failureOf(error: unknown, phase: Phase, { name }: HttpProxy, { name: target }: Address): unknown {
  const isBroken = error instanceof Socks5Error && error.code === "SOCKS5_CONN_RESET";
  if (error instanceof Socks5Error && !isBroken) return error;
  const failure = explain(meaningOf(error), phase, { name }, NOBODY, { target });
  if (failure instanceof Socks5Error && failure.retryable) unretried.add(failure);
  return failure;
}

const NOBODY = { credentials: null, custom: [] };

function meaningOf(error: unknown): unknown {
  if (error instanceof BadHead) return new ProtocolError("SOCKS5_PROXY_BAD_REPLY", error.message);
  return error instanceof HeadCutOff ? new ProtocolError("SOCKS5_PROXY_HUNG_UP", error.message) : error;
}
