import type { TestRequest } from "./log.ts";
import type { TestRule } from "./options.ts";
import type { Plan } from "./parse_options.ts";

/** What becomes of a request: what the plan says, and else that loopback is reached and nothing more. */
export function ruleFor(request: TestRequest, plan: Plan): TestRule {
  const { hostname, port } = request;
  const rule = ownRule(request, plan);
  if (rule !== undefined) return rule;
  if (hostname === "localhost") return { port };
  if (/^127\.[\d.]+$/.test(hostname) || hostname === "::1") return { hostname, port };
  return { rep: /^[\d.]+$|:/.test(hostname) ? 2 : 4 };
}

/** What the plan says becomes of a request; `undefined` if nothing. */
export function ownRule({ hostname, port }: TestRequest, plan: Plan): TestRule | undefined {
  return plan.rule(hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`);
}
