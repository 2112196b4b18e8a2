import { build, type Plugin, stop } from "esbuild";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** What the tests import that a Worker cannot have, and what stands in for it. */
const REPLACED: [path: RegExp, by: string][] = [
  [/\/support\/test\.ts$|^\.\/test\.ts$/, "test.ts"],
  [/\/support\/peer\.ts$|^\.\/peer\.ts$/, "peer.ts"],
  [/^\.\.\/\.\.\/mod\.ts$/, "../../../workers/mod.ts"],
  [/^node:timers\/promises$/, "timers.ts"],
  [/^node:process$/, "process.ts"],
];

/** Bundles test files to a Worker that answers the driver, without anything of Node. */
export async function bundle(files: readonly string[]): Promise<string> {
  const entry = [
    `import { answer, beginFile } from ${JSON.stringify(here("test.ts"))};`,
    `import { setDriver } from ${JSON.stringify(here("remote.ts"))};`,
    ...files.flatMap((file) => [`import "begin:${file}";`, `import "./${file}";`]),
    "export default { fetch(request, env) { setDriver(env.DRIVER); return answer(request); } };",
  ].join("\n");
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir: root, loader: "js" },
    bundle: true,
    write: false,
    format: "esm",
    target: "esnext",
    sourcemap: "inline",
    sourcesContent: false,
    define: { "navigator.userAgent": '"Cloudflare-Workers"' },
    logLevel: "silent",
    plugins: [standInsPlugin],
  });
  return outputFiles[0]!.text;
}

/** Bundles a program that imports the package by its name, as users do for Workers. */
export async function bundleProgram(code: string, external: string[]): Promise<string> {
  const { name, exports } = JSON.parse(readFileSync(new URL("../../../deno.json", import.meta.url), "utf8"));
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: root, loader: "ts" },
    bundle: true,
    write: false,
    format: "esm",
    target: "esnext",
    external,
    minifyWhitespace: true,
    logLevel: "silent",
    plugins: [{
      name: "package",
      setup(build) {
        build.onResolve({ filter: new RegExp(`^${name}(/|$)`) }, ({ path }) => {
          return { path: `${root}${exports[`.${path.slice(name.length)}`]}` };
        });
      },
    }],
  });
  await stop(); // the program that it keeps for the next time
  return outputFiles[0]!.text;
}

const standInsPlugin: Plugin = {
  name: "stand-ins",
  setup(build) {
    const offline = new URL("../../offline/", import.meta.url);
    const { imports } = JSON.parse(readFileSync(new URL("import_map.json", offline), "utf8"));
    build.onResolve({ filter: /^@std\// }, ({ path }) => ({ path: fileURLToPath(new URL(imports[path], offline)) }));
    build.onResolve({ filter: /^begin:/ }, ({ path }) => ({ path: path.slice("begin:".length), namespace: "begin" }));
    build.onLoad({ filter: /^/, namespace: "begin" }, ({ path }) => ({
      contents: `import { beginFile } from ${JSON.stringify(here("test.ts"))}; beginFile(${JSON.stringify(path)});`,
      resolveDir: root,
    }));
    for (const [filter, by] of REPLACED) {
      build.onResolve({ filter }, ({ kind, importer }) => {
        return kind === "entry-point" || importer.includes("/support/workerd/") ? undefined : { path: here(by) };
      });
    }
  },
};
