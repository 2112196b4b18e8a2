import { readFileSync } from "node:fs";

/** What stands in for a package of @std that is not installed: specifier to file URL. */
export function standIns() {
  const { imports } = JSON.parse(readFileSync(new URL("import_map.json", import.meta.url), "utf8"));
  return Object.fromEntries(
    Object.entries(imports)
      .filter(([specifier]) => !isInstalled(specifier))
      .map(([specifier, path]) => [specifier, new URL(path, import.meta.url).href]),
  );
}

function isInstalled(specifier) {
  try {
    import.meta.resolve(specifier);
    return true;
  } catch {
    return false;
  }
}
