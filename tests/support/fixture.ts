// Run by leaks_test.ts as a suite of its own.
import { once } from "node:events";
import net from "node:net";
import { test } from "./test.ts";

test("the test before passes", () => {});
test("a test that leaves a rejection fails", () => void Promise.reject(new Error("forgotten")));
test("a test that leaves a socket fails", async () => void await once(net.createServer().listen(0), "listening"));
test("the test after passes", () => {});
test("a skipped test", () => Promise.reject(new Error("it ran")), { skip: "for this reason" });
