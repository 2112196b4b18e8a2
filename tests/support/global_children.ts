// Run with ./global preloaded: fetches here, in a worker thread, in a fork and in a child process, and prints what came.
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { isMainThread, Worker } from "node:worker_threads";

const [url = "", kind = isMainThread ? "process" : "thread"] = process.argv.slice(2);
const text = await fetch(url).then((it) => it.text(), (error) => `failed ${error.cause?.code ?? error}`);
process.stdout.write(`${kind} ${text}\n`);
if (kind === "process") {
  const path = fileURLToPath(import.meta.url);
  await once(new Worker(new URL(import.meta.url), { argv: [url] }), "exit");
  await once(fork(path, [url, "fork"]), "exit");
  process.stdout.write((await promisify(execFile)(process.execPath, ["--no-warnings", path, url, "child"])).stdout);
}
