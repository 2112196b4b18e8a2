// Makes a program of fetch.mjs with each bundler, minified where it can, in a directory of its name.
import { fileURLToPath } from "node:url";

// they are installed by the gate, and no dependencies of this project
const NAMES = ["esbuild", "rollup", "@rollup/plugin-node-resolve", "vite", "webpack"];
const [esbuild, { rollup }, { nodeResolve }, vite, { default: webpack }] = await Promise.all(
  NAMES.map((name) => import(name)),
);

const entry = fileURLToPath(new URL("fetch.mjs", import.meta.url));
const out = (name) => fileURLToPath(new URL(`bundles/${name}`, import.meta.url));

await esbuild.build({
  entryPoints: [entry],
  outfile: `${out("esbuild")}/fetch.mjs`,
  bundle: true,
  minify: true,
  format: "esm",
  platform: "node",
});

const rolled = await rollup({
  input: entry,
  plugins: [nodeResolve({ exportConditions: ["node"] })],
  external: /^node:/,
});
await rolled.write({ dir: out("rollup"), entryFileNames: "fetch.mjs", chunkFileNames: "[name]-[hash].mjs" });

await vite.build({
  configFile: false,
  logLevel: "error",
  ssr: { noExternal: true },
  build: {
    ssr: entry,
    minify: true,
    outDir: out("vite"),
    rollupOptions: { output: { entryFileNames: "fetch.mjs", chunkFileNames: "[name]-[hash].mjs" } },
  },
});

const packed = await new Promise((resolve, reject) => {
  webpack({
    mode: "production",
    target: "node",
    entry,
    experiments: { outputModule: true },
    output: { path: out("webpack"), filename: "fetch.mjs", module: true, chunkFilename: "[id].mjs" },
  }, (error, stats) => error ? reject(error) : resolve(stats));
});
if (packed.hasErrors() || packed.hasWarnings()) throw new Error(packed.toString());
