import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { peers, rowOf } from "../support/clients.mjs";
import { installed } from "../support/packed.mjs";

/** What npm puts into node_modules. */
export async function size() {
  const modules = join(await installed(), "node_modules");
  const rows = ["ours", ...peers].map((client) => {
    const folders = closure(modules, client === "ours" ? "@x/socks5" : client);
    return {
      ...rowOf(client),
      packages: folders.size,
      bytes: sum(filesOf(folders)),
    };
  });
  const own = [...filesOf(closure(modules, "@x/socks5"))];
  const kib = (bytes) => `${(bytes / 1_024).toFixed(0)} KiB`;
  const maps = own.reduce((bytes, file) => bytes + sourceMapOf(file), 0);
  const code = sum(own.filter((file) => /\.(js|ts)$/.test(file))) - maps;
  return {
    samples: { rows, failures: {} },
    sections: [{
      title: "Installed size",
      text:
        "All files of the package and of what it depends on, as npm installs them. Those of `@x/socks5` are code, " +
        `types and docstrings (${kib(code)}), inline source maps with the sources (${kib(maps)}), and ` +
        `pages (${kib(sum(own) - code - maps)}).`,
      table: [
        ["package", "packages", "KiB"],
        ...rows.map((
          { labels, packages, bytes },
        ) => [...labels, String(packages), (bytes / 1_024).toFixed(0)]),
      ],
    }],
    targets: [],
  };
}

/** The folders of a package and of all that it depends on. */
function closure(modules, name, folders = new Set()) {
  const folder = realpathSync(join(modules, name));
  const beside = folder.slice(0, -name.length);
  if (folders.has(folder)) return folders;
  folders.add(folder);
  const { dependencies = {} } = JSON.parse(
    readFileSync(join(folder, "package.json"), "utf8"),
  );
  for (const dependency of Object.keys(dependencies)) {
    const own = join(folder, "node_modules");
    closure(
      existsSync(join(own, dependency)) ? own : beside,
      dependency,
      folders,
    );
  }
  return folders;
}

function filesOf(folders) {
  return [...folders].flatMap((folder) =>
    readdirSync(folder, { recursive: true })
      .filter((path) => !path.startsWith("node_modules"))
      .map((path) => join(folder, path))
      .filter((path) => statSync(path).isFile())
  );
}

function sum(files) {
  return files.reduce((bytes, file) => bytes + statSync(file).size, 0);
}

/** How many bytes of a file are a source map. */
function sourceMapOf(file) {
  return file.endsWith(".js")
    ? /^\/\/# sourceMappingURL=data:.*$/m.exec(readFileSync(file, "utf8"))?.[0]
      .length ?? 0
    : 0;
}
