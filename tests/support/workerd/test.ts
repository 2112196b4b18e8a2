// Stands in for support/test.ts within workerd: each test runs in a request of its own.

interface Test {
  readonly file: string;
  readonly name: string;
  readonly fn: () => void | Promise<void>;
  readonly skip: string | false;
}

const tests: Test[] = [];
let current = "";

/** Nothing is left out for being slow. */
export const quick: string | false = false;

/** Says of which file the tests are that are registered from now on. */
export function beginFile(file: string): void {
  current = file;
}

/** Registers a test. */
export function test(name: string, fn: Test["fn"], options: { skip?: string | false } = {}): void {
  tests.push({ file: current, name, fn, skip: options.skip || false });
}

let origin = "";
let again: (() => Promise<unknown>) | undefined;

/** Runs `fn` in another request, and gives what it is rejected with. */
export async function inAnotherRequest(fn: () => Promise<unknown>): Promise<string> {
  again = fn;
  return await (await fetch(`${origin}/again`)).text();
}

const rejections: unknown[] = [];

/** Answers the driver: which tests there are, or how one of them went. */
export async function answer(request: Request): Promise<Response> {
  const url = new URL(request.url);
  const which = url.pathname.slice(1);
  if (which === "again") return new Response(await again!().then(() => "it is fulfilled", String));
  origin = url.origin;
  if (which === "") return Response.json(tests.map(({ file, name, skip }) => ({ file, name, skip })));
  const { fn } = tests[Number(which)]!;
  rejections.length = 0;
  const start = Date.now();
  const errors: unknown[] = [];
  try {
    await fn();
  } catch (error) {
    errors.push(error);
  }
  await new Promise((resolve) => setTimeout(resolve, 0)); // for rejections to show
  errors.push(...rejections);
  return Response.json({ ms: Date.now() - start, errors: errors.map(textOf) });
}

addEventListener("unhandledrejection", (event) => rejections.push((event as PromiseRejectionEvent).reason));

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `\ncause: ${textOf(error.cause)}`;
  return `${error.stack ?? error}${cause}`;
}
