import { registerHooks } from "node:module";
import { standIns } from "./stand_ins.mjs";

const found = new Map(Object.entries(standIns()));

registerHooks({
  resolve: (specifier, context, next) => {
    const standIn = found.get(specifier);
    return standIn === undefined ? next(specifier, context) : { url: standIn, shortCircuit: true };
  },
});
