import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { peers, rowOf } from "../support/clients.mjs";
import { installed } from "../support/packed.mjs";

/** What npm puts into node_modules. */
export async function size() {
  const modules = join(await installed(), "node_modules");
  const rows = ["ours", ...peers].map((client) => {
    const folders = closure(modules, client === "ours" ? "@x/socks5" : client);
    return { ...rowOf(client), packages: folders.size, bytes: sum(folders) };
  });
  return {
    samples: { rows, failures: {} },
    sections: [{
      title: "Installed size",
      text: "All files of the package and of what it depends on, as npm installs them.",
      table: [
        ["package", "packages", "KiB"],
        ...rows.map(({ labels, packages, bytes }) => [...labels, String(packages), (bytes / 1_024).toFixed(0)]),
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
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  for (const dependency of Object.keys(dependencies)) {
    const own = join(folder, "node_modules");
    closure(existsSync(join(own, dependency)) ? own : beside, dependency, folders);
  }
  return folders;
}

function sum(folders) {
  return [...folders].flatMap((folder) =>
    readdirSync(folder, { recursive: true })
      .filter((path) => !path.startsWith("node_modules"))
      .map((path) => statSync(join(folder, path)))
  ).reduce((bytes, file) => bytes + (file.isFile() ? file.size : 0), 0);
}
