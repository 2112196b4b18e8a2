import { Buffer } from "node:buffer";
import { createReadStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { UsageError } from "./outcome.ts";

/** The text of a file that an option names, or of standard input. */
export async function textOf(
  source: string | AsyncIterable<Uint8Array>,
  option: string,
  command: string,
): Promise<string> {
  const name = typeof source === "string" ? nameOf(source, option) : "standard input";
  return await readText(source).catch((error) => {
    throw new UsageError(`cannot read ${name}: ${reasonOf(error, "--allow-read")}`, command);
  });
}

/** Throws a `UsageError` if nothing can be appended to a file; changes nothing in it. */
export async function canAppend(file: string, option: string, command: string): Promise<void> {
  if (file === "" || file === "-" || file.includes("://")) throw new UsageError(`${option} takes a file`, command);
  await write(file, "", "a", option, command);
}

/** Writes to a file that others cannot read if it is new. */
export async function write(
  file: string,
  text: string,
  flag: "a" | "w",
  option: string,
  command: string,
): Promise<void> {
  try {
    await writeFile(file, text, { flag, mode: 0o600 }); // passwords may be in it
  } catch (error) {
    throw new UsageError(`cannot write ${nameOf(file, option)}: ${reasonOf(error, "--allow-write")}`, command);
  }
}

/** What may be a proxy or a password in the place of a file is not shown. */
export function nameOf(file: string, option: string): string {
  return /[:@\p{C}]/u.test(file) || option.endsWith("credentials") ? `the file of ${option}` : file;
}

const MAX_TEXT = 16 << 20; // bytes

async function readText(source: string | AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of typeof source === "string" ? createReadStream(source) : source) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_TEXT) throw new RangeError("it has more than 16 MiB");
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)); // without the byte order mark
  } catch {
    throw new RangeError("it is not text in UTF-8");
  }
}

/** Not in the words of the runtime, which may show the name of the file. */
function reasonOf(error: unknown, permission: string): string {
  if (error instanceof RangeError) return error.message;
  const { code, name } = error as { code?: string; name: string };
  const reason = code ?? name;
  if (reason === "NotCapable") return `Deno needs ${permission} for that`;
  return Object.hasOwn(REASONS, reason) ? REASONS[reason]! : reason;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "permission denied",
  EISDIR: "it is a directory",
};
