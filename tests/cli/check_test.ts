import { assert, assertEquals, assertMatch } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { stripVTControlCharacters } from "node:util";
import type { CheckReport, CheckStep } from "../../mod.ts";
import { main } from "../../cli/mod.ts";
import { draw } from "../../cli/report.ts";
import { certificates } from "../support/certificates.ts";
import { cli, fakeIo, plain, startCli } from "../support/cli.ts";
import * as testing from "../../testing/mod.ts";
import type { TestProxyOptions } from "../../testing/mod.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import { startBanner, startEcho, startSilent } from "../support/targets.ts";
import { quick, test } from "../support/test.ts";

const ALICE = { username: "alice", password: "sesame" };
const RULES = { "example.test:22": { port: 1 } };

const verdicts: [
  verdict: CheckReport["verdict"],
  code: number,
  proxy: TestProxyOptions,
  target: string,
  last: string,
][] = [
  ["ok", 0, {}, "", "it works"],
  ["not-socks5", 4, { faults: { fault: "http" } }, "", "something else answers: is this the port of the SOCKS5"],
  ["auth-refused", 5, { credentials: ALICE }, "", "check user name and password: socks5h://user:password@host:port"],
  ["target-refused", 6, {}, "other.test:1", "the proxy works, and does not bring you to this target"],
  [
    "unproven",
    7,
    { rules: RULES, faults: { fault: "false-success", then: "close" } },
    "example.test:22",
    "the proxy says that",
  ],
  [
    "unanswered",
    8,
    { rules: RULES, faults: { fault: "silence", at: "request" } },
    "example.test:22",
    "the proxy took the handshake, and did not answer",
  ],
  [
    "proxy-down",
    3,
    { faults: { fault: "close", at: "negotiate" } },
    "",
    "the proxy does not answer: does it run, and are",
  ],
];

test("socks5 check ends with a number for each verdict, and says what helps", async () => {
  for (const [verdict, code, options, target, last] of verdicts) {
    await withProxy(options, async (proxy) => {
      const limit = verdict === "unanswered" ? ["--timeout", "300"] : [];
      const args = ["check", `socks5h://127.0.0.1:${proxy.port}`, ...(target === "" ? [] : [target]), ...limit];
      const table = await cli(args);
      assertEquals([table.code, table.err], [code, ""], verdict);
      const line = plain(table.out).split("\n").at(-3)!;
      assertMatch(line, new RegExp(`^  ${code === 0 ? "✓" : "✗"} ${verdict.padEnd(16)} +T {18}  ${last}`));
      const json = await cli([...args, "--json"]);
      assertEquals([json.code, json.err, (JSON.parse(json.out) as CheckReport).verdict], [code, "", verdict]);
    });
  }
});

test("socks5 check prints a table of the steps", () =>
  withTarget(startBanner("220 hello"), (banner) =>
    withProxy({ credentials: ALICE }, async (proxy) => {
      const { out, code } = await cli(["check", proxy.url, banner.address]);
      const lines = plain(out).replace(/[█▌▐]/g, "#").replace(/ {2}[ #]{16} {2}(?=[a-z])/g, "  |  ").split("\n");
      assertEquals(code, 0);
      assertEquals(lines, [
        "",
        `127.0.0.1:${proxy.port} → ${banner.address}`,
        "",
        "  ✓ dial                     T  |  the proxy takes connections",
        "  ✓ negotiate                T  |  the proxy speaks SOCKS5",
        "  ✓ authenticate             T  |  the proxy accepted the user name and password",
        "  ✓ request                  T  |  the proxy says that the target is connected",
        "  ✓ transfer                 T  |  bytes came from the target",
        "  ✓ ok                       T  |  it works",
        "",
        "",
      ]);
    })));

test("socks5 check tells a failure once, without what the title says", () =>
  withProxy({}, async (proxy) => {
    const { out } = await cli(["check", `socks5h://127.0.0.1:${proxy.port}`, "other.test:1"]);
    assertMatch(out, /✗ request .* the target is not allowed by the rules of the proxy|✗ request .*\(REP \d\d\)\n/);
    assert(!out.includes("Cannot connect"), out);
    assertMatch(out, /· authenticate +the proxy asked for none\n/);
    assertMatch(out, /· transfer +not reached\n/);
  }));

test("socks5 check --repeat tells the shortest, the middle and the longest time, and how often it was how", () =>
  withProxy({ faults: ({ index }) => index === 1 ? { fault: "close", at: "negotiate" } : undefined }, async (proxy) => {
    const { out, code } = await cli(["check", `socks5h://127.0.0.1:${proxy.port}`, "--repeat", "3"]);
    assertEquals([code, proxy.connections.length], [3, 3]);
    const lines = plain(out).split("\n");
    assertEquals(lines.slice(0, 6), [
      "",
      `127.0.0.1:${proxy.port}, 3 of 3`,
      "",
      "                           min    median       max",
      "  ✓ dial                     T         T         T",
      "  ✗ negotiate                T         T         T  the proxy closed the connection in the handshake",
    ]);
    assertEquals(lines.slice(9), [
      "  ✓ ok                       2      of 3            it works",
      "  ✗ proxy-down               1      of 3            the proxy does not answer: does it run, and are host and port right?",
      "",
      "",
    ]);
  }));

test("the figures of --repeat are the shortest, the middle and the longest", () => {
  const report = (ms: number): CheckReport => ({
    ...{ proxy: "p:1", label: "p:1", target: null, time: "", ms, verdict: "ok" },
    steps: [{ phase: "dial", status: "ok", ms, message: "" }],
  });
  const line = (...times: number[]) => {
    const view = { title: "", phases: ["dial"], rounds: 9, reports: times.map(report), running: [] };
    return draw(view, { paint: (_, text) => text, columns: 100, now: 0 })[4]!.slice(20).trim();
  };
  assertEquals(line(30, 1, 2), "1.0 ms    2.0 ms   30.0 ms");
  assertEquals(line(4, 1, 20_000, 2), "1.0 ms    3.0 ms    20.0 s");
  assertEquals(line(7), "7.0 ms    7.0 ms    7.0 ms");
});

/** What a check can come to, written down as types so that a new verdict or phase has to be here. */
const VERDICTS: Record<CheckReport["verdict"], true> = {
  "ok": true,
  "unproven": true,
  "unanswered": true,
  "proxy-down": true,
  "not-socks5": true,
  "auth-refused": true,
  "target-refused": true,
  "target-not-found": true,
  "local-failed": true,
};
const PHASES: Record<CheckStep["phase"], true> = {
  lookup: true,
  dial: true,
  negotiate: true,
  authenticate: true,
  request: true,
  tls: true,
  transfer: true,
};

test("each verdict after each phase is drawn with its figures in their columns", () => {
  const phases = Object.keys(PHASES) as CheckStep["phase"][];
  for (const verdict of Object.keys(VERDICTS) as CheckReport["verdict"][]) {
    for (const last of phases) {
      const steps = phases.map((phase): CheckStep => {
        const at = phases.indexOf(phase) - phases.indexOf(last);
        const status = at > 0 ? "skipped" : at === 0 && verdict !== "ok" ? "failed" : "ok";
        return { phase, status, ms: 1, message: "what came out" };
      });
      const report: CheckReport = { proxy: "p:1", label: "p:1", target: null, time: "", ms: 7, verdict, steps };
      for (const rounds of [1, 2]) {
        for (const columns of [60, 120]) {
          const reports = Array.from({ length: rounds }, () => report);
          const view = { title: "p:1", phases, rounds, reports, running: [] };
          const lines = draw(view, { paint: (_, text) => text, columns, now: 0 });
          const rows = lines.filter((line) => /^ {2}[✓✗·] /.test(line));
          assertEquals(rows.map((row) => row.slice(4, 20).trimEnd()), [...phases, verdict]);
          for (const row of rows) {
            assertMatch(row.slice(20, 30), rounds === 1 ? /^( {4}\d\.0 ms| *)$/ : /^( {4}1\.0 ms| {9}2| *)$/, row);
          }
          for (const line of lines) assert(line.length < columns, line);
        }
      }
    }
  }
});

test("the line of a proxy tells two users at one gateway apart, and names neither", () =>
  withProxy({ credentials: ALICE }, async (proxy) => {
    const bob = proxy.url.replace("alice", "bob");
    const { out } = await cli(["check", proxy.url, bob, "socks5h://127.0.0.1:1"]);
    const titles = out.match(/127\.0\.0\.1:[\d#a-f]+/g)!;
    const { out: json } = await cli(["check", "--json", proxy.url, bob]);
    const labels = json.trimEnd().split("\n").map((line) => (JSON.parse(line) as CheckReport).label);
    assertEquals(titles, [...labels, "127.0.0.1:1"]);
    assert(titles[0] !== titles[1] && !/alice|bob/.test(out), out);
  }));

test("socks5 check --json prints a report a line, as soon as it is there", () =>
  withProxy({ credentials: ALICE }, async (proxy) => {
    const gate = testing.createGate();
    const chunks: string[] = [];
    const onWrite = (chunk: Uint8Array) => void chunks.push(new TextDecoder().decode(chunk));
    await withProxy({ faults: { fault: "wait", at: "negotiate", for: gate.pass } }, async (late) => {
      const io = fakeIo({ onWrite });
      const running = main(["check", "--json", proxy.url, `socks5h://127.0.0.1:${late.port}`], io);
      await gate.reached;
      await io.until(() => io.out !== "");
      assertEquals(chunks.map((chunk) => JSON.parse(chunk).verdict), ["ok"]);
      gate.open();
      assertEquals(await running, 0);
      const { out } = io;
      const reports = out.trimEnd().split("\n").map((line) => JSON.parse(line) as CheckReport);
      assertEquals(reports.map((it) => it.proxy), [proxy, late].map(({ port }) => `127.0.0.1:${port}`));
      assert(!out.includes("sesame") && !out.includes("alice"), out);
    });
  }));

test("a line of JSON says when, tells two users at one gateway apart without naming them, and has round figures", () =>
  withProxy({ credentials: ({ username }) => username === "alice" ? 0 : 1 }, async (proxy) => {
    const urls = ["alice", "bob", "alice"].map((name) => `socks5h://${name}:sesame@127.0.0.1:${proxy.port}`);
    const { out } = await cli(["check", "--json", ...urls]);
    const [alice, bob, again] = out.trimEnd().split("\n").map((line) => JSON.parse(line) as CheckReport);
    assertEquals([alice!.label === again!.label, alice!.label === bob!.label], [true, false]);
    assertEquals([alice!.verdict, bob!.verdict], ["ok", "auth-refused"]);
    assertMatch(alice!.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert(!/\d\.\d\d/.test(out.replaceAll("127.0.0.1", "").replace(/"time":"[^"]*"/g, "")), out);
    assert(!/alice|bob|sesame/.test(out), out);
  }));

test("on a terminal the table fills while the check runs, and is drawn over itself", () =>
  withTarget(startBanner("hello"), (banner) => {
    const gate = testing.createGate();
    return withProxy({ faults: { fault: "wait", at: "request", for: gate.pass } }, async (proxy) => {
      const io = fakeIo({ columns: 120 });
      const running = main(["check", `socks5h://127.0.0.1:${proxy.port}`, banner.address], io);
      await gate.reached;
      await io.until(() => frames().length > 3); // it goes on drawing
      const frame = frames().at(-1)!;
      assertMatch(
        frame,
        /✓ dial +T\n {2}✓ negotiate +T\n {2}· authenticate\n {2}[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] request +T\n {4}transfer\n\n$/,
      );
      gate.open();
      assertEquals(await running, 0);
      assertMatch(frames().at(-1)!, /✓ ok +T +it works\n\n$/);
      for (const frame of frames()) assertEquals(frame.split("\n").length, 11 - Number(!frame.includes("it works")));
      assert(io.out.includes("\x1b[9A\x1b[J"));
      function frames(): string[] {
        return framesOf(io.out).map(({ text }) => plain(text));
      }
    });
  }));

test("a long message is broken within the columns of the terminal, so that it can be drawn over", async () => {
  for (const columns of [40, 70, 80]) {
    const gate = testing.createGate();
    await withProxy({ faults: { fault: "wait", at: "negotiate", for: gate.pass } }, async (proxy) => {
      const io = fakeIo({ columns });
      const running = main(["check", `socks5h://127.0.0.1:${proxy.port}`, "other.test:1"], io);
      await gate.reached;
      await io.until(() => framesOf(io.out).length > 1);
      gate.open();
      assertEquals(await running, 6);
      for (const { text, back } of framesOf(io.out)) {
        const lines = stripVTControlCharacters(text).split("\n");
        for (const line of lines) assert(line.length < columns, line);
        if (back !== null) assertEquals(back, lines.length - 1);
      }
      const told = stripVTControlCharacters(framesOf(io.out).at(-1)!.text).replace(/\s+/g, " ");
      assert(told.includes("the proxy works, and does not bring you to this target"), told);
      assertEquals(/[█▌▐]/.test(told), columns >= 80);
    });
  }
});

/** What was drawn each time, and how many lines the cursor then went back. */
function framesOf(out: string): { text: string; back: number | null }[] {
  return out.split("\x1b[J").map((frame) => {
    const [, text = frame, back] = /^(.*).\[(\d+)A$/s.exec(frame) ?? [];
    return { text, back: back === undefined ? null : Number(back) };
  });
}

const colours: [what: string, columns: number | undefined, env: Record<string, string>, coloured: boolean][] = [
  ["a terminal", 80, {}, true],
  ["a pipe", undefined, {}, false],
  ["NO_COLOR", 80, { NO_COLOR: "1" }, false],
  ["NO_COLOR, empty", 80, { NO_COLOR: "" }, true],
  ["a dumb terminal", 80, { TERM: "dumb" }, false],
  ["FORCE_COLOR", undefined, { FORCE_COLOR: "1" }, true],
  ["FORCE_COLOR=0", undefined, { FORCE_COLOR: "0" }, false],
  ["both", undefined, { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
];

test("colours are for a terminal, unless NO_COLOR or FORCE_COLOR say otherwise", () =>
  withProxy({}, async (proxy) => {
    for (const [what, columns, env, coloured] of colours) {
      const { out } = await cli(["check", `socks5h://127.0.0.1:${proxy.port}`], { ...(columns && { columns }), env });
      assertEquals(out.includes("\x1b[32m✓\x1b[39m"), coloured, what);
      if (columns === undefined) assert(!out.includes("\x1b[J"), what);
    }
  }));

test("web ports are sent a request, others what --probe says", () =>
  withTarget(startEcho(), (echo) => {
    const to = (target: string) => ({ rules: { [target]: { port: echo.port } } });
    const probes: [target: string, args: string[], length: number][] = [
      ["a.test:80", [], "HEAD / HTTP/1.0\r\nHost: a.test\r\n\r\n".length],
      ["[::2]:8080", [], "HEAD / HTTP/1.0\r\nHost: [::2]\r\n\r\n".length],
      ["a.test:443", ["--probe", "raw"], 3],
      ["a.test:80", ["--probe", "x\\r\\n\\t\\0\\\\n"], 7],
      ["a.test:7", ["--probe", "hello"], 5],
    ];
    return probes.reduce(async (before, [target, args, length]) => {
      await before;
      await withProxy(to(target), async (proxy) => {
        const { code } = await cli(["check", `socks5h://127.0.0.1:${proxy.port}`, target, ...args]);
        assertEquals([code, proxy.connections[0]!.sent], [0, length], target);
      });
    }, Promise.resolve());
  }));

test("TLS is tried with its ports, or on demand: bytes of the target that are none of TLS prove nothing", () =>
  withTarget(
    startEcho(),
    (echo) =>
      withProxy({ rules: { "a.test:443": echo, "a.test:8443": echo, "a.test:7": echo } }, async (proxy) => {
        const url = `socks5h://127.0.0.1:${proxy.port}`;
        for (
          const args of [["a.test:443"], ["a.test:8443"], ["a.test:7", "--tls"], ["a.test:7", "--tls", "--probe", "x"]]
        ) {
          const { code, out } = await cli(["check", url, ...args]);
          assertEquals(code, 7, out);
          assertMatch(out, /✓ request .*\n {2}✗ tls .*\n {2}· transfer +not reached\n {2}✗ unproven /);
          assertEquals(proxy.connections.at(-1)!.sent > 100, true, "a ClientHello");
        }
        const repeated = await cli(["check", url, "a.test:443", "--repeat", "2"]);
        assertMatch(repeated.out, /✗ tls .*\n {2}· transfer +not reached\n {2}✗ unproven +2 {6}of 2/);
      }),
  ));

test('--probe "" sends nothing; a port that is not known is sent a request after a second of silence', () =>
  withTarget(
    startSilent(),
    (silent) =>
      withProxy({ rules: { "a.test:80": silent, "a.test:81": silent } }, async (proxy) => {
        const url = `socks5h://127.0.0.1:${proxy.port}`;
        const codes = await Promise.all(
          [["a.test:80", "--probe", ""], ["a.test:81"]].map(async (args) => (await cli(["check", url, ...args])).code),
        );
        const request = "HEAD / HTTP/1.0\r\nHost: a.test\r\n\r\n".length;
        assertEquals([codes, proxy.connections.map(({ sent }) => sent)], [[7, 7], [0, 0, request]]);
      }),
  ));

test("a target that speaks HTTP proves itself on any port, and then at once", () =>
  withTarget(startEcho(), (echo) =>
    withProxy({ rules: { "a.test:81": echo } }, async (proxy) => {
      const { code, out } = await cli(["check", `socks5h://127.0.0.1:${proxy.port}`, "a.test:81", "--repeat", "3"]);
      assertEquals([code, proxy.connections.map(({ sent }) => sent > 0)], [0, [false, true, true, true]]);
      assertMatch(out, /✓ transfer .*\n {2}✓ ok +3 {6}of 3/);
    })));

test("--timeout bounds a check", () =>
  withProxy({ faults: { fault: "silence", at: "negotiate" } }, async (proxy) => {
    const { code, out } = await cli(["check", `socks5h://127.0.0.1:${proxy.port}`, "--timeout", "200"]);
    assertEquals(code, 3);
    assertMatch(out, /timed out after 200 ms/);
  }));

test("a signal ends a check at once, with 130 or 143 and without a word", () =>
  withProxy({ faults: { fault: "silence", at: "negotiate" } }, async (proxy) => {
    for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      for (const columns of [undefined, 80]) {
        const io = fakeIo(columns === undefined ? {} : { columns });
        const running = main(["check", `socks5h://127.0.0.1:${proxy.port}`], io);
        await proxy.until(() => proxy.connections.at(-1)?.received.length === 1 && proxy.open === 1);
        io.signal(signal);
        assertEquals([await running, io.err, io.listeners], [code, "", 0]);
        if (columns === undefined) assertEquals(io.out, "");
        await proxy.until(() => proxy.open === 0);
      }
    }
  }));

test(
  "in a process of its own: the table, the number, and an end that comes early",
  () =>
    withProxy({ credentials: ALICE }, async (proxy) => {
      const ok = await startCli(["check"], { SOCKS5_PROXY: proxy.url }).ended;
      assertEquals([ok.code, ok.err, ok.out.split("\n")[1]], [0, "", `127.0.0.1:${proxy.port} (SOCKS5_PROXY)`]);
      const listed = startCli(["check", "--proxies", "-"]);
      listed.child.stdin.end(`\uFEFF# by pipe\r\n${proxy.url}\r\n`);
      const { code: listedCode, out: title } = await listed.ended;
      assertEquals([listedCode, title.split("\n")[1]], [0, `127.0.0.1:${proxy.port} (standard input, line 2)`]);
      const refused = startCli(["check", "--json"], { ALL_PROXY: proxy.url.replace("sesame", "x"), FORCE_COLOR: "1" });
      assertEquals((await refused.ended).code, 5);

      const head = startCli(["check", "--json", "--repeat", "100000"], { SOCKS5_PROXY: proxy.url });
      await head.until(() => head.out().includes("\n"));
      head.child.stdout.destroy(); // as `| head -1` does
      const { code, err } = await head.ended;
      assertEquals([code, err], [141, ""]);
    }),
  { skip: quick },
);

test("in a process of its own: a target proves itself by TLS, with an authority that the runtime trusts", async () => {
  const { authority, names } = certificates();
  const directory = mkdtempSync(join(tmpdir(), "socks5-"));
  const file = join(directory, "authority.pem");
  writeFileSync(file, authority.cert);
  const server = createServer(names);
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await withProxy({ rules: { "target.example:443": { port } } }, async (proxy) => {
      const env = { SOCKS5_PROXY: `socks5h://127.0.0.1:${proxy.port}` };
      const trusted = { ...env, NODE_EXTRA_CA_CERTS: file, DENO_CERT: file };
      const proven = await startCli(["check", "target.example:443"], trusted).ended;
      assertEquals([proven.code, proven.err], [0, ""], proven.out);
      assertMatch(proven.out, /✓ tls .*\n {2}· transfer +the TLS handshake is proof enough\n {2}✓ ok/);
      assertEquals((await startCli(["check", "target.example:443"], env).ended).code, 7);
    });
  } finally {
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  }
}, { skip: quick });

test(
  "in a process of its own: a signal ends it",
  () =>
    withProxy({ faults: { fault: "silence", at: "negotiate" } }, async (proxy) => {
      for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
        const started = startCli(["check"], { SOCKS5_PROXY: `socks5h://127.0.0.1:${proxy.port}` });
        await proxy.until(() => proxy.connections.at(-1)?.received.length === 1 && proxy.open === 1, 20_000);
        started.kill(signal);
        const { out, err, ...ended } = await started.ended;
        assertEquals([ended.code, out, err], [code, "", ""]);
        await proxy.until(() => proxy.open === 0);
      }
    }),
  { skip: quick },
);
