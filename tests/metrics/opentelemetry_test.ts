import { assertEquals, assertRejects } from "@std/assert";
import { createTestProxy } from "../../testing/mod.ts";
import { library } from "../support/library.ts";
import { runRecipe } from "../support/recipes.ts";
import { startSite } from "../support/serve_site.ts";
import { withTarget } from "../support/stage.ts";
import { test } from "../support/test.ts";

const sdk = await library("@opentelemetry/sdk-trace-node");

/** What the in-memory exporter has of a span. */
interface Span {
  name: string;
  kind: number;
  status: { code: number; message?: string };
  attributes: Record<string, unknown>;
  events: { name: string; attributes: Record<string, unknown> }[];
}

/** The spans of the recipe, with other texts in place of some. */
async function spansOf(texts: Record<string, string>, run: (recipe: () => Promise<string[]>) => Promise<void>) {
  const { NodeTracerProvider, SimpleSpanProcessor, InMemorySpanExporter } = sdk.it;
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  provider.register();
  const { trace, context, propagation } = (await library("@opentelemetry/api")).it;
  try {
    await run(() => runRecipe("opentelemetry", texts));
    return (exporter.getFinishedSpans() as Span[]).toSorted((a, b) =>
      String(a.attributes["socks5.target"]).localeCompare(String(b.attributes["socks5.target"]))
    );
  } finally {
    await provider.shutdown();
    for (const it of [trace, context, propagation]) it.disable();
  }
}

const attempted = (type: string, attempt: number, proxy: string, code?: string) => ({
  name: `socks5.${type}`,
  attributes: { "socks5.proxy": proxy, "socks5.attempt": attempt, ...(code && { "error.type": code }) },
});

test(
  "OpenTelemetry gets a span for each connect, with its own attempts as events",
  () =>
    withTarget(startSite(() => ({ type: "text/plain", body: "hello" })), async (site) => {
      const proxy = await createTestProxy({ credentials: { username: "user", password: "pass" }, rules: () => site });
      const own = `127.0.0.1:${proxy.port}`;
      const texts = {
        "down.example:1080": "127.0.0.1:1",
        "proxy.example:1080": own,
        'await fetch("http://example.com/")':
          '(await Promise.all(["a", "b"].map((it) => fetch(`http://${it}.test/`))))[0]!',
      };
      const spans = await spansOf(texts, async (recipe) => assertEquals(await recipe(), ["200"]));
      const down = [
        attempted("attempt", 1, "127.0.0.1:1"),
        attempted("failed", 1, "127.0.0.1:1", "SOCKS5_PROXY_UNREACHABLE"),
      ];
      const up = (attempt: number) => [attempted("attempt", attempt, own), attempted("connected", attempt, own)];
      assertEquals(
        spans.map(({ name, kind, status, attributes, events }) => ({
          ...{ name, kind, code: status.code, attributes },
          events: events.map(({ name, attributes }) => ({ name, attributes })),
        })),
        ["a", "b"].map((host) => ({
          ...{ name: "socks5.connect", kind: 2, code: 0 },
          attributes: { "socks5.target": `${host}.test:80`, "socks5.proxy": own, "socks5.reused": false },
          events: [...down, ...up(2)],
        })),
      );
      await proxy.close();
    }),
  { skip: sdk.missing },
);

test("OpenTelemetry gets the code of a connect that failed", async () => {
  const texts = { "down.example:1080": "127.0.0.1:1", "user:pass@proxy.example:1080": "127.0.0.1:2" };
  const spans = await spansOf(
    { ...texts, "onEvent(event) {": "retry: 0, onEvent(event) {" },
    async (recipe) => {
      await assertRejects(recipe);
    },
  );
  assertEquals(spans.map(({ status, attributes }) => [status.code, attributes["error.type"]]), [
    [2, "SOCKS5_PROXY_UNREACHABLE"],
  ]);
}, { skip: sdk.missing });
