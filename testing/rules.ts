import type { TestRequest } from "./log.ts";
import type { TestRule } from "./options.ts";
import type { ParsedOptions } from "./parse_options.ts";

/** The rule for a request: that of the options; by default loopback is reached, and nothing else. */
export function ruleFor(request: TestRequest, options: ParsedOptions): TestRule {
  const { hostname, port } = request;
  const rule = ownRule(request, options);
  if (rule !== undefined) return rule;
  if (hostname === "localhost") return { port };
  if (/^127\.[\d.]+$/.test(hostname) || hostname === "::1") return { hostname, port };
  return { rep: /^[\d.]+$|:/.test(hostname) ? 2 : 4 };
}

/** The rule for a request in the options, if there is one. */
export function ownRule({ hostname, port }: TestRequest, options: ParsedOptions): TestRule | undefined {
  return options.rule(hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`);
}
