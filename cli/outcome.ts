import { AuthError, type CheckReport, LocalError, ProxyError, Socks5Error, TargetError, TimeoutError } from "../mod.ts";
import { printable } from "../src/errors.ts";

/** What the process ends with, beside 128 + the number of the signal that ended it. */
export const EXIT: Readonly<Record<CheckReport["verdict"] | "failed" | "usage", number>> = {
  "ok": 0,
  "failed": 1,
  "usage": 2,
  "proxy-down": 3,
  "not-socks5": 4,
  "auth-refused": 5,
  "target-refused": 6,
  "target-not-found": 6,
  "unproven": 7,
  "unanswered": 8,
  "local-failed": 1,
};

/** The caller's fault, and the command whose help says more. */
export class UsageError extends Error {
  readonly command: string | undefined;

  constructor(message: string, command?: string) {
    super(message);
    this.command = command;
  }
}

/** A program could not be started. */
export class NotStarted extends Error {
  /** What a shell ends with. */
  readonly exitCode: number;

  constructor(program: string, code = "?") {
    super(`cannot start ${program}: ${WHY[code] ?? code}`);
    this.exitCode = code === "ENOENT" ? 127 : 126;
  }
}

const WHY: Readonly<Record<string, string>> = { ENOENT: "there is no such program", EACCES: "permission denied" };

/** A signal that ended a command. */
export class Interrupted extends Error {
  readonly code: number;

  constructor(signal: "SIGINT" | "SIGTERM") {
    super(signal);
    this.code = signal === "SIGINT" ? 130 : 143;
  }
}

/** What a check finds out without an error: nothing came that proves the path. */
export class Unproven extends Error {}

/** What the process ends with after an error, and the line that is shown of it, if there is one to show. */
export function outcomeOf(error: unknown): { code: number; line: string | null } {
  const { message = String(error), code } = (error ?? {}) as { message?: string; code?: unknown };
  if (error instanceof Interrupted) return { code: error.code, line: null };
  if (error instanceof NotStarted) return { code: error.exitCode, line: onOneLine(message) };
  // of the output, since those of tunnels are wrapped; a pipe may be a socket. As SIGPIPE ends other programs
  if (code === "EPIPE" || code === "ECONNRESET") return { code: 141, line: null };
  const line = onOneLine(message);
  if (error instanceof UsageError) {
    return { code: EXIT.usage, line: `${line} (try: socks5 ${error.command ? `${error.command} ` : ""}--help)` };
  }
  // what the library says of its arguments was given here as arguments
  if (error instanceof TypeError || error instanceof RangeError) return { code: EXIT.usage, line: ofArgument(line) };
  if (!(error instanceof Socks5Error)) return { code: EXIT.failed, line };
  return { code: EXIT[verdictOf(error)], line: `${line}${HELPS[error.code] ?? ""}` };
}

/** A message as one line, with nothing that a terminal would obey. */
export function onOneLine(message: string): string {
  return printable(message.replace(/\s*[\r\n]+\s*/g, " "));
}

/** What is wrong with an argument, without what the library says in the place of a value that it does not show. */
export function ofArgument(message: string): string {
  return message.replace(/: current value is (a string|an object|\(redacted\))$/, "")
    .replace("parseProxyList()", "--proxies FILE");
}

const HELPS: Partial<Record<Socks5Error["code"], string>> = {
  SOCKS5_PROXY_UNREACHABLE: "; does it run, and are host and port right?",
  SOCKS5_PROXY_NOT_SOCKS5: "; is this the port of the SOCKS5 proxy?",
  SOCKS5_AUTH_NO_METHOD: "; give it socks5h://user:password@host:port",
  SOCKS5_AUTH_REFUSED: "; check user name and password",
};

/** The verdict of a check that ends with an error, or `"local-failed"` for what is of none. */
export function verdictOf(error: Socks5Error): CheckReport["verdict"] {
  const { code, phase } = error;
  if (error instanceof AuthError) return "auth-refused";
  if (error instanceof TargetError) return "target-refused";
  if (error instanceof TimeoutError && phase === "request") return "unanswered";
  if (error instanceof LocalError) return "local-failed";
  if (phase === "dial" || code === "SOCKS5_PROXY_HUNG_UP") return "proxy-down";
  if (error instanceof ProxyError) return "not-socks5";
  return error instanceof TimeoutError ? "proxy-down" : "local-failed";
}
