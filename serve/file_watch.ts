import { closeSync, openSync } from "node:fs";

const TOLD_INTERVAL = 60_000;

/** Tells, at most once a minute, that the process has no files left: by themselves, runtimes accept nothing and are silent. */
export class FileWatch {
  readonly #report: (error: Error) => void;
  #toldAt = -Infinity;

  constructor(report: (error: Error) => void) {
    this.#report = report;
  }

  /** Looks whether there are files for further clients. */
  look(): void {
    if (!hasRoom()) this.#tell();
  }

  /** Whether that is what an error says, or the cause of one. */
  explains(error: unknown): boolean {
    const isSo = isOutOfFiles(error) || isOutOfFiles((error as { cause?: unknown }).cause);
    if (isSo) this.#tell();
    return isSo;
  }

  #tell(): void {
    if (performance.now() - this.#toldAt < TOLD_INTERVAL) return;
    this.#toldAt = performance.now();
    this.#report(new Error("The process has run out of files: clients have to wait, or are refused"));
  }
}

const ANY = "/dev/null";
const SPARE = 8; // Node refuses who waits and has some left then

type DenoPermissions = { permissions: { querySync(it: object): { state: string } } };

/** Whether some more files can be opened; `true` where this process may not try. */
function hasRoom(): boolean {
  const { Deno } = globalThis as { Deno?: DenoPermissions };
  if (Deno !== undefined && Deno.permissions.querySync({ name: "read", path: ANY }).state !== "granted") return true;
  const opened: number[] = [];
  try {
    while (opened.length < SPARE) opened.push(openSync(ANY, "r"));
    return true;
  } catch (error) {
    return !isOutOfFiles(error);
  } finally {
    opened.forEach(closeSync);
  }
}

/** Of the process, or of the machine. */
function isOutOfFiles(error: unknown): boolean {
  return ["EMFILE", "ENFILE"].includes((error as { code?: string } | undefined)?.code ?? "");
}
