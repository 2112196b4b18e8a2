import type { TestRequest } from "./log.ts";
import type { TestRule } from "./options.ts";
import type { Plan } from "./plan.ts";

/** What becomes of a request: what the plan says, and else that loopback is reached and nothing more. */
export function ruleFor({ hostname, port }: TestRequest, plan: Plan): TestRule {
  const rule = plan.rule(hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`);
  if (rule !== undefined) return rule;
  if (hostname === "localhost") return { port };
  if (/^127\.[\d.]+$/.test(hostname) || hostname === "::1") return { hostname, port };
  return { rep: /^[\d.]+$|:/.test(hostname) ? 2 : 4 };
}
