import { standIns } from "./stand_ins.mjs";

Bun.plugin({
  name: "offline",
  setup(build) {
    for (const [specifier, standIn] of Object.entries(standIns())) {
      build.module(specifier, async () => ({ loader: "object", exports: await import(standIn) }));
    }
  },
});
