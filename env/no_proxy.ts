import { type Address, ATYP, parseHost, parseTarget, splitHostPort, type Target } from "../src/address.ts";

/** Reads a list as `NO_PROXY` has it, and tells whether a target is in it. */
export function exemptions(list: string): (target: Target) => boolean {
  const rules = list.split(/[\s,]+/).map(ruleOf);
  return (target) => {
    const to = parseTarget(target);
    return rules.some((exempts) => exempts(to));
  };
}

type Rule = (to: Address) => boolean;

const nothing: Rule = () => false;

function ruleOf(text: string): Rule {
  const [, network, bits] = /^(.+)\/(\d{1,3})$/.exec(text) ?? [];
  if (network !== undefined) return networkRule(network, Number(bits));
  const { hostname, port } = splitHostPort(text);
  if (hostname === "*") return (to) => port === undefined || port === to.port;
  const host = parseHost(hostname.replace(/^\*?\./, ""));
  if (typeof host === "string") return nothing;
  // both are canonical, and no name ends as an address does
  const suffix = inFull(host.hostname);
  return (to) => (port === undefined || port === to.port) && inFull(to.hostname).endsWith(suffix);
}

function networkRule(text: string, bits: number): Rule {
  const host = parseHost(text);
  if (typeof host === "string" || host.atyp === ATYP.DOMAIN) return nothing;
  const { addr } = host;
  const length = addr.length === 4 && text.includes(":") ? bits - 96 : bits; // an IPv4-mapped one has become IPv4
  if (length < 0 || length > addr.length * 8) return nothing;
  const mask = (i: number) => (0xff00 >> Math.min(Math.max(length - 8 * i, 0), 8)) & 0xff;
  return (to) => to.atyp === host.atyp && addr.every((byte, i) => ((byte ^ to.addr[i]!) & mask(i)) === 0);
}

/** With a dot before each label, and none at the end. */
function inFull(hostname: string): string {
  return `.${hostname.replace(/\.$/, "")}`;
}
