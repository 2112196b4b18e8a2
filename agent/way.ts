import type { ClientRequestArgs } from "node:http";
import type { Bypasses, BypassTarget } from "../src/bypass.ts";
import { identity } from "./identity.ts";

/** How a request goes to its target: directly, if that is bypassed; or not at all, if that could not be told. */
type Way = "proxy" | "direct" | { readonly failed: unknown };

const WAY = Symbol("way");

type Options = ClientRequestArgs & { [WAY]?: Way };

/** Asks once for each request, so that a connection which is kept never serves one that is to go in another way. */
export function keepWay(options: ClientRequestArgs, bypasses: Bypasses | undefined): void {
  if (bypasses !== undefined) (options as Options)[WAY] = wayTo(options, bypasses);
}

/** The way that was kept, or asked for now. Throws why it could not be told. */
export function isDirect(options: ClientRequestArgs, bypasses: Bypasses | undefined): boolean {
  const way = (options as Options)[WAY] ?? (bypasses === undefined ? "proxy" : wayTo(options, bypasses));
  if (typeof way === "object") throw way.failed;
  return way === "direct";
}

/** What connections of another way do not share in their name. */
export function wayName(options: ClientRequestArgs): string {
  const { [WAY]: way = "proxy" } = options as Options;
  return way === "proxy" ? "" : way === "direct" ? "direct " : `failed ${identity(way)} `;
}

function wayTo({ host, port, socketPath, protocol }: ClientRequestArgs, bypasses: Bypasses): Way {
  if (socketPath) return "proxy"; // which says that there is no way to a path
  try {
    const target: BypassTarget = {
      hostname: host ?? "localhost",
      port: Number(port),
      protocol: protocol ?? undefined,
    };
    return bypasses(target) ? "direct" : "proxy";
  } catch (failed) {
    return { failed };
  }
}
