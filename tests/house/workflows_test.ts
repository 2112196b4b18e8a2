import { assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "../support/test.ts";

type Permissions = Record<string, string>;
type Job = { permissions?: Permissions; "timeout-minutes"?: number; strategy?: { matrix: Record<string, string[]> } };
type Workflow = { permissions: Permissions; jobs: Record<string, Job> };

const { YAML } = (globalThis as { Bun?: { YAML: { parse(text: string): unknown } } }).Bun ?? {};
const directory = new URL("../../.github/workflows/", import.meta.url);
const read = (file: string) => YAML!.parse(readFileSync(new URL(file, directory), "utf8")) as Workflow;
const onBun = { skip: YAML === undefined && "only Bun has a parser for YAML" } as const;

test(
  "the workflows may read and nothing else, but for publishing, which signs in by OIDC; every job has a limit",
  () => {
    for (const file of readdirSync(directory)) {
      const { permissions, jobs } = read(file);
      assertEquals(permissions, { contents: "read" });
      for (const [name, job] of Object.entries(jobs)) {
        const own = name === "publish" ? { contents: "read", "id-token": "write" } : undefined;
        assertEquals([job.permissions, typeof job["timeout-minutes"]], [own, "number"], name);
      }
    }
  },
  onBun,
);

test("the package is used on every system and every runtime that it says it runs on", () => {
  assertEquals(read("ci.yml").jobs["package"]!.strategy!.matrix, {
    os: ["ubuntu-latest", "macos-latest", "windows-latest"],
    runtime: ["deno", "bun", "node 20", "node 22", "node 24", "node 26"],
  });
}, onBun);
