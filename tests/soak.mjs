// `socks5 serve` under load for a long time: node tests/soak.mjs [--minutes 60] [--runtime node] [--files 256]
// Each period the list of proxies changes and is read again, proxies die and come back, and now and then there are more
// clients than files. It fails if a request is lost, if memory grows, or if something is open at the end. --quick is what
// the tests run.
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { env, root, runtimes } from "./support/tools.mjs";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    runtime: { type: "string", default: "node" },
    files: { type: "string", default: "256" },
    quick: { type: "boolean", default: false },
  },
});
const total = options.quick ? 6_000 : Number(options.minutes) * 60_000;
const period = options.quick ? 1_000 : 60_000;
const flags = {
  deno: ["run", "--allow-all", "--quiet", "--no-check", "--no-lock", "--node-modules-dir=manual"],
  bun: ["--no-install"],
  node: ["--no-warnings"],
};

const folder = mkdtempSync(join(tmpdir(), "socks5-soak-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const listFile = join(folder, "list.txt");

const echo = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1");
await once(echo, "listening");
const target = `127.0.0.1:${echo.address().port}`;

const proxies = await Promise.all(Array.from({ length: 8 }, startProxy));
const counts = { done: 0, refused: 0, lost: 0, reloads: 0, deaths: 0, bursts: 0 };
const problems = [];
const samples = []; // { at, rss, files }

let turn = 0;
/** Until when a client may be reset: files are missing, or the proxy of a tunnel has just died. */
let mayResetUntil = 0;
writeList();
const service = startService();
const port = await service.port;
const begun = performance.now();
const left = () => total - (performance.now() - begun);

const clients = Array.from({ length: 16 }, (_, number) => load(number));
const sampling = setInterval(() => samples.push(service.sample()), options.quick ? 500 : 10_000);
while (left() > 0) {
  await pause(Math.min(period, Math.max(left(), 0)));
  if (left() <= 0) break;
  turn++;
  writeList();
  service.child.kill("SIGHUP");
  counts.reloads++;
  await dieAndComeBack(turn);
  await burst();
}
await Promise.all(clients);
clearInterval(sampling);
samples.push(service.sample());
const code = await service.end();
if (code !== 0) problems.push(`it ended with ${code}`);
if (counts.lost > 0) problems.push(`${counts.lost} requests were lost`);
if (counts.done === 0) problems.push("nothing went through");
if (!options.quick) problems.push(...growth());
for (const proxy of proxies) await proxy.stop();
echo.close();

const span = (name) => `${Math.min(...samples.map((it) => it[name]))} to ${Math.max(...samples.map((it) => it[name]))}`;
console.log(JSON.stringify(counts));
console.log(`memory ${span("rss")} MiB, files ${span("files")}, at the end ${samples.at(-1).rss} MiB`);
for (const problem of problems) console.error(problem);
if (problems.length > 0) console.error(`the service said last:\n${service.log.slice(-20).join("\n")}`);
process.exit(problems.length > 0 ? 1 : 0);

/** All but one of the proxies, another one each time, in another order. */
function writeList() {
  const chosen = proxies.filter((_, i) => i !== turn % proxies.length);
  writeFileSync(listFile, [...chosen.slice(turn % 7), ...chosen.slice(0, turn % 7)].map(({ url }) => url).join("\n"));
}

/** Two proxies die for a while; the others are enough. */
async function dieAndComeBack(turn) {
  const dead = [proxies[turn % 8], proxies[(turn + 3) % 8]];
  for (const proxy of dead) await proxy.stop();
  counts.deaths += dead.length;
  mayResetUntil = performance.now() + 1_000; // which takes what the client has not read yet with it
  await pause(period / 4);
  for (const proxy of dead) await proxy.start();
}

/** More clients at a time than there are files: each waits until it is its turn. */
async function burst() {
  counts.bursts++;
  mayResetUntil = Infinity;
  await Promise.all(Array.from({ length: Number(options.files) }, () => request("burst")));
  mayResetUntil = performance.now() + 1_000;
}

async function load(number) {
  while (left() > 0) {
    await request(number);
    await pause(options.quick ? 5 : 50);
  }
}

/** One tunnel with some bytes that come back, or a clear refusal. */
function request(what) {
  return new Promise((resolve) => {
    const data = `${what} ${"x".repeat(1 + Math.floor(Math.random() * 2_000))}`;
    const socket = connect(port, "127.0.0.1");
    const late = setTimeout(() => over("lost", "timed out"), 60_000);
    let text = "";
    let isOver = false;
    function over(how, why) {
      if (isOver) return;
      isOver = true;
      clearTimeout(late);
      socket.destroy();
      counts[how]++;
      if (how === "lost" && problems.length < 20) problems.push(`a request was lost: ${why}`);
      resolve();
    }
    socket.setEncoding("latin1").on(
      "connect",
      () => socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`),
    );
    socket.on("data", (chunk) => {
      text += chunk;
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) return;
      if (!text.startsWith("HTTP/1.1 200 ")) return over("refused");
      if (end + 4 === text.length && chunk.endsWith("\r\n\r\n")) return void socket.write(data);
      if (text.slice(end + 4) === data) over("done");
    });
    // a process without files left resets who waits (libuv), and says so in its log
    socket.on("error", (error) => over(performance.now() < mayResetUntil ? "refused" : "lost", error.message));
    // a tunnel of a proxy that dies is cut off, as it would be without a service
    socket.on(
      "close",
      () =>
        over(text !== "" || performance.now() < mayResetUntil ? "refused" : "lost", "it was closed without an answer"),
    );
  });
}

/** A SOCKS5 proxy that keeps nothing of what went through it: that of `./testing` keeps a log. */
async function startProxy() {
  const open = new Set();
  let server;
  let port = 0;
  const serve = async (socket) => {
    open.add(socket.on("error", () => {}).on("close", () => open.delete(socket)));
    const reader = socket.iterator({ destroyOnReturn: false });
    let bytes = Buffer.alloc(0);
    const take = async (count) => {
      while (bytes.length < count) {
        const { value, done } = await reader.next();
        if (done) throw new Error("it ended");
        bytes = Buffer.concat([bytes, value]);
      }
      const taken = bytes.subarray(0, count);
      bytes = bytes.subarray(count);
      return taken;
    };
    await take((await take(2))[1]);
    socket.write(Uint8Array.of(5, 2));
    await take((await take(2))[1]);
    await take((await take(1))[0]);
    socket.write(Uint8Array.of(1, 0));
    const [, , , atyp] = await take(4);
    await take(atyp === 3 ? (await take(1))[0] : 4);
    const to = connect((await take(2)).readUInt16BE(), "127.0.0.1");
    open.add(to.on("error", () => socket.destroy()).on("close", () => open.delete(to)));
    await once(to, "connect");
    socket.write(Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    await reader.return();
    to.write(bytes);
    socket.pipe(to).pipe(socket);
  };
  const start = async () => {
    server = createServer((socket) => serve(socket).catch(() => socket.destroy())).listen(port, "127.0.0.1");
    await once(server, "listening");
    port = server.address().port;
  };
  await start();
  return {
    url: `socks5h://user:pass@127.0.0.1:${port}`,
    start,
    async stop() {
      server.close();
      for (const socket of open) socket.destroy();
      await once(server, "close");
    },
  };
}

function startService() {
  const { runtime } = options;
  const args = ["cli/main.ts", "serve", "--proxies", listFile, "--balance", "least-open", "--drain", "5"];
  const command = [runtimes[runtime], ...flags[runtime], ...args].map((it) => `'${it}'`).join(" ");
  const child = spawn("sh", ["-c", `ulimit -n ${options.files}; exec ${command}`], { cwd: root, env });
  const log = [];
  const port = new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        if (log.push(line) > 200) log.shift();
        const found = /127\.0\.0\.1:(\d+)/.exec(line);
        if (found) resolve(Number(found[1]));
      });
    }
    child.on("exit", () => reject(new Error(`it did not start: ${log.join("\n")}`)));
  });
  return {
    child,
    port,
    log,
    sample() {
      const pages = Number(readFileSync(`/proc/${child.pid}/statm`, "utf8").split(" ")[1]);
      return { rss: Math.round(pages * 4_096 / 2 ** 20), files: readdirSync(`/proc/${child.pid}/fd`).length };
    },
    async end() {
      if (child.exitCode !== null) return `${child.exitCode}: ${log.join("\n")}`;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      const [code, signal] = await ended;
      return code === 0 ? 0 : `${signal ?? code}: ${log.slice(-5).join("\n")}`;
    },
  };
}

/** Memory is flat: of the last three quarters of the time, the second half needs no more than the first, and a tenth. */
function growth() {
  const late = samples.slice(Math.floor(samples.length / 4)).map(({ rss }) => rss);
  const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
  const [before, after] = [late.slice(0, late.length / 2), late.slice(late.length / 2)].map(median);
  return after > before * 1.1 + 4 ? [`memory grew from ${before} to ${after} MiB`] : [];
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
