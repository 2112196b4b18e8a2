import { ATYP, type Host, parseHost, parseTarget, splitHostPort, type Target } from "../src/protocol/address.ts";
import { isA } from "../src/errors.ts";

/** Reads a list as `NO_PROXY` has it, and tells whether a target, a host without a port or a URL is in it. */
export function exemptions(list: string): (target: Target | URL) => boolean {
  const rules = list.split(/[\s,]+/).map(ruleOf);
  return (target) => {
    const to = destination(target);
    return rules.some((exempts) => exempts(to));
  };
}

type Destination = Host & { readonly port?: number | undefined };

type Rule = (to: Destination) => boolean;

const nothing: Rule = () => false;

const PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443, "ws:": 80, "wss:": 443, "ftp:": 21 };

function destination(target: Target | URL): Destination {
  if (isA(URL, target)) {
    const port = target.port === "" ? PORTS[target.protocol] : Number(target.port);
    return { ...parseTarget({ hostname: target.hostname, port: port ?? 1 }), port };
  }
  const host = typeof target === "string" ? parseHost(target) : "";
  return typeof host === "string" ? parseTarget(target) : host;
}

function ruleOf(text: string): Rule {
  const [, network, bits] = /^(.+)\/(\d{1,3})$/.exec(text) ?? [];
  if (network !== undefined) return networkRule(network, Number(bits));
  const { hostname, port } = splitHostPort(text);
  const exempts = hostRule(hostname);
  return port === undefined ? exempts : (to) => port === to.port && exempts(to);
}

function hostRule(text: string): Rule {
  if (text === "*") return () => true;
  const [, octets] = /^((?:\d{1,3}\.){1,3})\*(?:\.\*)*$/.exec(text) ?? [];
  if (octets !== undefined) {
    const start = octets.slice(0, -1).split(".");
    return networkRule([...start, ..."000"].slice(0, 4).join("."), 8 * start.length);
  }
  const range = text.split("-").map(parseHost);
  if (range.length === 2 && range.every(isIp)) return rangeRule(range[0]!.addr, range[1]!.addr);
  const host = parseHost(text.replace(/^\*?\./, ""));
  if (typeof host === "string") return nothing;
  // both are canonical, and no name ends as an address does
  const suffix = inFull(host.hostname);
  return (to) => inFull(to.hostname).endsWith(suffix);
}

function networkRule(text: string, bits: number): Rule {
  const host = parseHost(text);
  if (!isIp(host)) return nothing;
  const { addr } = host;
  const length = addr.length === 4 && text.includes(":") ? bits - 96 : bits; // an IPv4-mapped one has become IPv4
  if (length < 0 || length > addr.length * 8) return nothing;
  const mask = (i: number) => (0xff00 >> Math.min(Math.max(length - 8 * i, 0), 8)) & 0xff;
  return (to) => to.atyp === host.atyp && addr.every((byte, i) => ((byte ^ to.addr[i]!) & mask(i)) === 0);
}

/** From one address to another of the same kind, both included. */
function rangeRule(first: Uint8Array, last: Uint8Array): Rule {
  return (to) => isIp(to) && compare(first, to.addr) <= 0 && compare(to.addr, last) <= 0;
}

/** Which of two addresses is the lower one; those of different kinds are in no order. */
function compare(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return NaN;
  const i = a.findIndex((byte, i) => byte !== b[i]);
  return i < 0 ? 0 : a[i]! - b[i]!;
}

function isIp(host: Host | string): host is Host {
  return typeof host !== "string" && host.atyp !== ATYP.DOMAIN;
}

/** With a dot before each label, and none at the end. */
function inFull(hostname: string): string {
  return `.${hostname.replace(/\.$/, "")}`;
}
