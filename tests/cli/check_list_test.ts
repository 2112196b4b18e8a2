import { assert, assertEquals, assertMatch } from "@std/assert";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import type { CheckReport } from "../../mod.ts";
import { main } from "../../cli/mod.ts";
import { drawProgress, drawProxy, drawSummary } from "../../cli/list_report.ts";
import * as testing from "../../testing/mod.ts";
import { cli, fakeIo } from "../support/cli.ts";
import { startWeb } from "../support/http_server.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import { listening, startSilent } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { startUdpEcho } from "../support/udp_targets.ts";

const DEAD = "127.0.0.1:1";

/** Runs `use` with a directory of its own. */
async function inDirectory(use: (path: (name: string) => string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "socks5-"));
  try {
    await use((name) => join(directory, name));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const isRight = ({ password }: { password: string }) => password === "sesame" ? 0 : 1;

/** Waits until so many checks are at a proxy, all of which it holds, and fails if there is one more. */
async function assertHeld(proxy: testing.TestProxy, count: number): Promise<void> {
  await proxy.until(() => proxy.open >= count);
  const last = connect(proxy.port, "127.0.0.1").end(Uint8Array.of(5, 1, 0x7f)); // accepted after all that were dialed
  await proxy.until(() => proxy.connections.some(({ received }) => received[0]?.[2] === 0x7f));
  assertEquals(proxy.connections.length, count + 1);
  last.destroy();
}

test("socks5 check of 1,000 proxies, of which 100 are dead, silent, refusing or foreign, 25 at a time", () => {
  const isGood = (i: number) => i < 100 || i % 9 !== 1; // also those that are held
  const gate = testing.createGate();
  let [held, most] = [0, 0];
  const hold = async () => {
    most = Math.max(most, ++held);
    await gate.pass();
    for (let i = 0; i < 10; i++) await setImmediate(); // for others to come meanwhile
    held--; // before the answer, which ends the check
  };
  return inDirectory((path) =>
    withProxy(
      { credentials: isRight, faults: { fault: "wait", at: "authenticate", for: hold } },
      (good) =>
        withProxy({ faults: { fault: "silence", at: "negotiate" } }, (silent) =>
          withProxy({ faults: { fault: "http" } }, async (foreign) => {
            const verdicts: CheckReport["verdict"][] = [];
            const lines = Array.from({ length: 1_000 }, (_, i) => {
              const [verdict, line] = isGood(i) ? ["ok", `127.0.0.1:${good.port}:user-${i}:sesame # ${i}`] as const : ([
                ["proxy-down", `socks5h://user-${i}:sesame@${DEAD}`],
                ["proxy-down", `user-${i}:sesame@127.0.0.1:${silent.port}`],
                ["auth-refused", `127.0.0.1:${good.port}:user-${i}:other`],
                ["not-socks5", `127.0.0.1:${foreign.port}:user-${i}:sesame`],
              ] as const)[i % 4]!;
              verdicts.push(verdict);
              return line;
            });
            writeFileSync(path("list"), lines.join("\r\n"));
            const args = ["check", "--proxies", path("list"), "--good", path("good"), "--json"];
            const running = cli([...args, "--concurrency", "25", "--timeout", "2000"]);
            await assertHeld(good, 25);
            gate.open();
            const { code, out, err } = await running;
            const reports = out.trimEnd().split("\n").map((it) =>
              JSON.parse(it) as CheckReport & { line: number }
            );
            assertEquals(reports.map(({ line }) => line), lines.map((_, i) => i + 1));
            assertEquals(reports.map(({ verdict }) => verdict), verdicts);
            for (const { time } of reports) assertMatch(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
            assertEquals(new Set(reports.map(({ label }) => label)).size, 1_000);
            assertEquals([code, err], [0, ""]);
            assert(!/user-|sesame|other/.test(out));
            assertEquals(readFileSync(path("good"), "utf8"), lines.filter((_, i) => isGood(i)).join("\n") + "\n");
            if (process.platform !== "win32") assertEquals(statSync(path("good")).mode & 0o777, 0o600);
            assert(most <= 25, `${most} at a time`);
            const counts = [good, silent, foreign].map(({ connections }) => connections.length);
            assertEquals(counts, [925 + 1, 25, 25]);
          })),
    )
  );
});

test("as many proxies are checked at a time as --concurrency says, 32 by default", async () => {
  for (const [args, most] of [[[], 32], [["--concurrency", "3"], 3]] as const) {
    const gate = testing.createGate();
    await withProxy({ faults: { fault: "wait", at: "negotiate", for: gate.pass } }, async (proxy) => {
      const io = fakeIo({ stdin: input(`127.0.0.1:${proxy.port}\n`.repeat(40)) });
      const running = main(["check", "--proxies", "-", ...args], io);
      await assertHeld(proxy, most);
      gate.open();
      assertEquals(await running, 0);
      assertEquals([proxy.connections.length, io.out.match(/✓ ok .*\(line \d+\)\n/g)!.length], [41, 40]);
      assertMatch(
        io.out,
        /\n40 of 40 checked in [\d.]+ s: 40 ok\n\n {2}✓ ok +40 +100\.0 % {2}it works\n\n {2}Time of /,
      );
    });
  }
});

test("one that is good is enough, unless --all is given; else the first verdict is the exit code", () =>
  withProxy({ credentials: isRight }, async (proxy) => {
    const [alice, bob] = ["sesame", "other"].map((it) => `socks5h://alice:${it}@127.0.0.1:${proxy.port}`);
    const dead = `socks5h://${DEAD}`;
    const codes: [args: string[], code: number][] = [
      [[alice!, bob!, dead], 0],
      [[dead, bob!, alice!], 0],
      [[alice!, alice!, "--all"], 0],
      [[alice!, bob!, dead, "--all"], 5],
      [[dead, bob!, alice!, "--all", "--json"], 3],
      [[bob!, dead], 5],
      [[dead, bob!], 3],
      [[bob!], 5],
      [[bob!, alice!, "--repeat", "2"], 0],
    ];
    for (const [args, code] of codes) assertEquals((await cli(["check", ...args])).code, code, args.join(" "));
  }));

test("a proxy of a list is good if all of its checks are", () =>
  inDirectory((path) =>
    withProxy(
      { faults: ({ index }) => index === 1 ? { fault: "http" } : undefined },
      (flaky) =>
        withProxy({}, async (proxy) => {
          const stdin = input(`127.0.0.1:${flaky.port}\n127.0.0.1:${proxy.port}`);
          const args = ["check", "--proxies", "-", "--repeat", "3", "--good", path("good"), "--concurrency", "1"];
          const { code, out } = await cli(args, { stdin });
          assertEquals([code, flaky.connections.length, proxy.connections.length], [0, 3, 3]);
          assertMatch(out, /^ {2}✗ not-socks5 .*: an HTTP server answered \(.*48 54\)\n {2}✓ ok .*\(line 2\)\n/);
          assertEquals(readFileSync(path("good"), "utf8"), `127.0.0.1:${proxy.port}\n`);
        }),
    )
  ));

test("results are printed in the order of the list, each as soon as those before it are known", () => {
  const gate = testing.createGate();
  return withProxy(
    { faults: { fault: "wait", at: "negotiate", for: gate.pass } },
    (late) =>
      withProxy({}, async (proxy) => {
        const [a, b] = [`127.0.0.1:${proxy.port}`, `127.0.0.1:${late.port}`];
        const io = fakeIo({ stdin: input(`${a}\n${b}\n${a}\n${a}`) });
        const running = main(["check", "--proxies", "-"], io);
        await gate.reached;
        await proxy.until(() => proxy.connections.length === 3 && proxy.open === 0);
        await io.until(() => io.out.includes("(line 1)"));
        assert(!io.out.includes("(line 3)"), io.out);
        gate.open();
        assertEquals(await running, 0);
        assertEquals(io.out.match(/line \d/g), ["line 1", "line 2", "line 3", "line 4"]);
      }),
  );
});

test("a signal prints what is known so far, writes what is good, and ends with 130 or 143", () =>
  inDirectory((path) =>
    withProxy({ faults: { fault: "silence", at: "negotiate" } }, (silent) =>
      withProxy({}, async (proxy) => {
        const [a, b] = [`127.0.0.1:${proxy.port}`, `127.0.0.1:${silent.port}`];
        for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
          const before = proxy.connections.length;
          const io = fakeIo({ stdin: input(`${b}\n${a}\n${DEAD}\n${b}\n${a}`) });
          const running = main(["check", "--proxies", "-", "--good", path("good")], io);
          await silent.until(() => silent.open === 2);
          await proxy.until(() => proxy.connections.length === before + 2 && proxy.open === 0);
          io.signal(signal);
          assertEquals([await running, io.err, io.listeners], [code, "", 0]);
          const [, lines, summary] = /^(.*?)\n\n(.*)$/s.exec(io.out)!;
          assertEquals(lines!.match(/[✓✗].*?line \d/g)!.map((it) => it.at(-1)).filter((it) => it !== "3"), ["2", "5"]);
          assertMatch(summary!, /^[23] of 5 checked in .*: 2 ok\n/);
          assertEquals(readFileSync(path("good"), "utf8"), `${a}\n${a}\n`);
        }
      }))
  ));

test("the output that is closed ends the checks", () =>
  withProxy({}, async (proxy) => {
    const onWrite = () => Promise.reject(Object.assign(new Error("closed"), { code: "EPIPE" }));
    const io = fakeIo({ onWrite, stdin: input(`127.0.0.1:${proxy.port}\n`.repeat(1_000)) });
    assertEquals([await main(["check", "--proxies", "-", "--json"], io), io.err], [141, ""]);
    assert(proxy.connections.length <= 100);
  }));

test("--good says at once that it cannot write, and takes nothing but a file", () =>
  withProxy({}, async (proxy) => {
    const wrong: [file: string, message: string][] = [
      ["/nowhere/good.txt", "cannot write /nowhere/good.txt: there is no such file"],
      ["/", "cannot write /: it is a directory"],
      ["/nowhere/alice:sesame@a.test", "cannot write the file of --good: there is no such file"],
      ["-", "--good takes a file"],
      ["", "--good takes a file"],
      ["socks5h://alice:sesame@a.test", "--good takes a file"],
    ];
    for (const [file, message] of wrong) {
      const { code, out, err } = await cli(["check", `socks5h://127.0.0.1:${proxy.port}`, `--good=${file}`]);
      assertEquals([code, out, err], [2, "", `socks5: ${message} (try: socks5 check --help)\n`]);
    }
    assertEquals(proxy.connections.length, 0);
  }));

test("a list that is bad stays as it is until its good ones are known", () =>
  inDirectory((path) =>
    withProxy({}, async (proxy) => {
      writeFileSync(path("list"), `# mine\n127.0.0.1:${proxy.port}  # kept\n\n${DEAD}`);
      const { code } = await cli(["check", "--proxies", path("list"), "--good", path("list")]);
      assertEquals([code, readFileSync(path("list"), "utf8")], [0, `127.0.0.1:${proxy.port}  # kept\n`]);
      assertEquals((await cli(["check", "--proxies", path("list"), "--good", path("list"), "a:1"])).code, 6);
      assertEquals(readFileSync(path("list"), "utf8"), "");
    })
  ));

test("a terminal shows how far a list is, below the results; with a pipe behind the output, the error output does", () =>
  withProxy({}, async (proxy) => {
    for (const columns of [40, 80, 120]) {
      for (const isPiped of [false, true]) {
        const gate = testing.createGate();
        await withProxy({ faults: { fault: "wait", at: "negotiate", for: gate.pass } }, async (late) => {
          const stdin = input(`${`127.0.0.1:${proxy.port}\n`.repeat(9)}127.0.0.1:${late.port}`);
          const io = fakeIo({ stdin, ...(isPiped ? { errColumns: columns } : { columns }) });
          const drawn = () => isPiped ? io.err : io.out;
          const running = main(["check", "--proxies", "-", ...(isPiped ? ["--json"] : [])], io);
          await gate.reached;
          await io.until(() => /9 of 10/.test(drawn()));
          gate.open();
          assertEquals(await running, 0);
          const shown = stripVTControlCharacters(drawn());
          for (const line of shown.split("\n")) assert(line.length < columns, line);
          assertMatch(
            shown,
            /\n {2}█+▌?─+ +90\.0 %\n {2}9 of 10, \d+(\.\d)?\s+per\s+second,\s+the\s+last\s+1\s+under\s+way:\s+9\s+ok,\s+0\s+not\n/,
          );
          assertMatch(shown, /\n10 of 10 checked in .*: 10\s+ok\n/);
          assert(!/per second/.test(shown.split("10 of 10 checked").at(-1)!), "the bar is gone at the end");
          assertMatch(shown, /\n {2}up to +\d+(\.\d+)? ms {2}[ █▌]+ +\d+\n/);
          assertEquals(isPiped ? io.out.trimEnd().split("\n").length : io.err, isPiped ? 10 : "");
        });
      }
    }
  }));

const MARK = /[\p{Cc}\p{Cf}\p{Cs}]/u;

test("figures and messages keep within 40, 80 and 120 columns, and break no word", () => {
  const verdicts: CheckReport["verdict"][] = ["ok", "unproven", "unanswered", "proxy-down", "target-not-found"];
  for (const columns of [40, 80, 120]) {
    const drawing = { paint: (_: unknown, text: string) => text, columns };
    const outcomes = Array.from({ length: 10_000 }, (_, i) => ({ verdict: verdicts[i % 5]!, ms: i ** 2 / 1_000 }));
    for (const started of [9_999, 10_000, 123_456]) {
      const figures = { outcomes, total: 123_456, started, target: "example.com:443", ms: 3_723_000 };
      const all = [drawProgress(figures, drawing), drawSummary(figures, drawing, true)];
      for (const line of all.flat()) assert(line.length < columns, `${columns}: ${line}`);
      const words = all.flat().join(" ").split(/\s+/);
      for (const word of ["example.com:443", "--probe.", "unanswered", "10,000", "123,456"]) {
        assert(words.some((it) => it.startsWith(word) || word === "--probe."), word);
      }
    }
    const outcome = { verdict: "target-not-found", ms: 29_999, why: "name resolution came to nothing at all" } as const;
    const lines = drawProxy("[2001:db8::1]:1080#5f4dcc3b (line 12)", outcome, drawing);
    for (const line of lines) assert(line.length < columns, line);
    for (const word of ["[2001:db8::1]:1080#5f4dcc3b", "resolution", "target-not-found"]) {
      assert(lines.some((line) => line.includes(word)), word);
    }
  }
});

test("the figures of a list: nearest rank, and classes of 1, 2 and 5", () => {
  const outcomes = Array.from({ length: 100 }, (_, i) => ({ verdict: "ok" as const, ms: i + 1 }));
  const figures = { outcomes, total: 100, started: 100, target: undefined, ms: 1_000 };
  const drawing = { paint: (_: unknown, text: string) => text, columns: 80 };
  const drawn = drawSummary(figures, drawing, true).join("\n");
  assert(drawn.includes("min 1.0 ms, median 50.0 ms, p95 95.0 ms"), drawn);
  const classes = [...drawn.matchAll(/up to +([\d.]+) ms +[█▌]* +(\d+)/g)].map(([, limit, count]) => [limit, count]);
  assertEquals(classes, [["1", "1"], ["2", "1"], ["5", "3"], ["10", "5"], ["20", "10"], ["50", "30"], ["100", "50"]]);
  assert(!drawSummary(figures, drawing, false).join().includes("up to"));
});

test("--exit tells the address that the target sees, and nothing else of its response", async () => {
  const responses: [body: string, status: number, exit: string | undefined][] = [
    ["203.0.113.7\n", 200, "203.0.113.7"],
    ['{"origin": "203.0.113.7"}', 200, "203.0.113.7"],
    ["Your IP is 2001:DB8:0::7.", 200, "2001:db8::7"],
    ["\x1b[2J\x07203.0.113.7\x1b]0;evil\x07", 200, "203.0.113.7"],
    ["at 20:30:15, version 1.2.3: 999.1.1.1, 192.0.2.1", 200, "192.0.2.1"],
    ["\x1b[2Jnothing", 200, undefined],
    ["203.0.113.7", 503, undefined],
    [`${"x".repeat(70_000)} 203.0.113.7`, 200, undefined],
  ];
  for (const [body, status, exit] of responses) {
    await withTarget(
      startWeb((_, response) => response.writeHead(status).end(body)),
      (web) =>
        withProxy({ rules: { "web.test:80": web } }, async (proxy) => {
          const args = ["check", `socks5h://127.0.0.1:${proxy.port}`, "--exit", "http://web.test/ip"];
          const { code, out } = await cli(args);
          assertEquals(code, exit === undefined ? 7 : 0, out);
          assert(exit === undefined || out.includes(`the target sees ${exit}\n`), out);
          assert(!MARK.test(out.replaceAll("\n", "")) && !/evil|nothing|xxx/.test(out), out);
          const report = JSON.parse((await cli([...args, "--json"])).out);
          assertEquals([report.exit, report.verdict], [exit, exit === undefined ? "unproven" : "ok"]);
          assertEquals(
            report.steps.map(({ phase }: { phase: string }) => phase).join(" "),
            "dial negotiate authenticate exit",
          );
          const list = await cli(["check", "--proxies", "-", ...args.slice(2)], {
            stdin: input(`${args[1]}\n${args[1]}`),
          });
          assertEquals(
            list.out.includes(`, ${exit}\n`) || list.out.includes(`: ${exit}\n`),
            exit !== undefined,
            list.out,
          );
          assertEquals(list.out.includes("Exit addresses: 1\n"), exit !== undefined, list.out);
        }),
    );
  }
});

test("a URL of --exit that hangs, is no web server or is not reached is told", () =>
  withTarget(startSilent(), (silent) =>
    withProxy({ rules: { "web.test:80": silent } }, async (proxy) => {
      const args = ["check", `socks5h://127.0.0.1:${proxy.port}`, "--timeout", "300", "--exit"];
      const hung = await cli([...args, "http://web.test"]);
      assertEquals(hung.code, 7, hung.out);
      assertMatch(hung.out, /✗ exit .* no whole response came in time\n/);
      const away = await cli([...args, "http://other.test"]);
      assertEquals(away.code, 6, away.out);
      for (const url of ["ftp://a.test", "a.test", "", "https://alice:sesame@a.test"]) {
        const { code, err } = await cli([...args, url]);
        assertEquals([code, err], [
          2,
          "socks5: --exit takes an http: or https: URL that answers with an address (try: socks5 check --help)\n",
        ]);
      }
    })));

test("--udp checks an association with a DNS query", async () => {
  const answer = (query: Uint8Array) => Uint8Array.of(query[0]!, query[1]!, 0x81, 0x80, ...query.subarray(4));
  const servers: [answer: (query: Uint8Array) => Uint8Array, code: number][] = [
    [answer, 0],
    [(query) => Uint8Array.of(query[0]! ^ 1, ...answer(query).subarray(1)), 7],
    [(query) => query, 7],
  ];
  for (const [answer, code] of servers) {
    await using dns = await startUdpEcho(answer);
    await withProxy({ udp: { rules: { "dns.test:53": dns } } }, async (proxy) => {
      const args = ["check", `socks5h://127.0.0.1:${proxy.port}`, "dns.test:53", "--udp"];
      const done = await cli(args);
      assertEquals(done.code, code, done.out);
      assertMatch(done.out, /→ dns\.test:53\n[^]*✓ associate .* the proxy carries datagrams\n/);
      assertMatch(
        done.out,
        code === 0 ? /✓ answer .* the DNS server answered\n/ : /✗ answer .* no answer came from the DNS/,
      );
    });
  }
  await withProxy({}, async (proxy) => {
    const refused = await cli(["check", `socks5h://127.0.0.1:${proxy.port}`, "--udp"]);
    assertEquals(refused.code, 6);
    assertMatch(refused.out, /→ 1\.1\.1\.1:53\n[^]*✗ associate .*\(REP 07\)\n {2}· answer +not reached\n/);
    for (const more of [["--tls"], ["--probe", "x"], ["--exit", "http://a.test"]]) {
      const { code, err } = await cli(["check", `socks5h://127.0.0.1:${proxy.port}`, "--udp", ...more]);
      assertEquals([code, err.includes("--udp goes with none of --exit, --tls and --probe")], [2, true], err);
    }
  });
});

test("what strangers send reaches no terminal unescaped", async () => {
  const hostile = "\x1b[2J\x1b]0;evil\x07\u202e\u0000\r\n\x9b2J";
  const server = await listening(createServer((socket) => void socket.on("error", () => {}).end(hostile.repeat(9))));
  try {
    await withProxy({ faults: { fault: "ssh" } }, async (ssh) => {
      const list = `${server.address}\n127.0.0.1:${ssh.port}\nsocks5h://localhost/run/%E2%80%AE-no-such\n`;
      for (const args of [[], ["--json"]]) {
        for (const columns of [undefined, 80]) {
          const options = { stdin: input(list), env: { NO_COLOR: "1" }, ...(columns && { columns }) };
          const { code, out, err } = await cli(["check", "--proxies", "-", "example.test:1", ...args], options);
          assertEquals(code, 4);
          // deno-lint-ignore no-control-regex
          const text = (out + err).replace(/\x1b\[\d+A\x1b\[J/g, "").replaceAll("\n", ""); // what Live itself draws
          assert(!MARK.test(text), JSON.stringify(text));
          assert(text.includes("\\u{202e}") || text.includes("\\\\u{202e}"), text);
        }
      }
    });
  } finally {
    await server.close();
  }
});

async function* input(text: string): AsyncIterable<Uint8Array> {
  yield new TextEncoder().encode(text);
}
