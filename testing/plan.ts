import { cannot } from "../src/errors.ts";
import { milliseconds } from "../src/settings.ts";
import { choice, object, whole } from "./checks.ts";
import type { TestConnection, TestCredentials } from "./log.ts";
import type { TestProxyOptions, TestRule, TestUdp } from "./options.ts";
import { type Script, scriptsOf } from "./script.ts";

/** Options with all defaults, checked; what functions of the caller's give is checked when they are asked. */
export interface Plan {
  readonly hostname: string;
  readonly port: number;
  readonly path: string | undefined;
  /** The credentials that a URL shows. */
  readonly known: TestCredentials | undefined;
  readonly methods: readonly number[];
  readonly framing: "stream" | "datagram" | "overwrite";
  readonly halfClose: "carry" | "cut";
  readonly handshakeTimeout: number;
  readonly udp: TestUdp | undefined;
  /** The status byte for credentials. */
  status(given: Readonly<Record<"username" | "password", string>>): number;
  /** The rule for a target, if there is one. */
  rule(target: string): TestRule | undefined;
  /** The faults of a connection as it is now. */
  faults(connection: TestConnection): readonly Script[];
}

/** Checks the options; throws a `TypeError` or a `RangeError` that names the option and what was given. */
export function planFor(options: TestProxyOptions): Plan {
  object("options", "an object", options);
  const { hostname = "127.0.0.1", path, credentials, methods = [credentials === undefined ? 0 : 2] } = options;
  if (typeof hostname !== "string" || hostname === "") throw new TypeError(cannot("hostname", "a host name", hostname));
  if (!LOOPBACK.test(hostname) && credentials === undefined) {
    const want = "a loopback name (127.0.0.1, ::1, localhost) unless clients must present credentials";
    throw new TypeError(cannot("hostname", want, hostname));
  }
  if (path !== undefined && (typeof path !== "string" || path === "" || path.includes("\0"))) {
    throw new TypeError(cannot("path", "the path of a unix socket", path));
  }
  if (path !== undefined && (options.hostname !== undefined || options.port !== undefined)) {
    throw new TypeError(cannot("path", "undefined, since there are a hostname or a port", path));
  }
  if (!Array.isArray(methods)) throw new TypeError(cannot("methods", "a list of numbers", methods));
  return {
    hostname,
    port: whole("port", options.port ?? 0, 65_535),
    path,
    known: typeof credentials === "object" ? credentials : undefined,
    methods: methods.map((it) => whole("methods", it)),
    framing: choice("framing", options.framing ?? "stream", ["stream", "datagram", "overwrite"]),
    halfClose: choice("halfClose", options.halfClose ?? "carry", ["carry", "cut"]),
    handshakeTimeout: milliseconds("handshakeTimeout", options.handshakeTimeout, Infinity),
    udp: options.udp === undefined ? undefined : object("udp", "an object", options.udp),
    status: statusFrom(credentials),
    rule: ruleFrom(options.rules),
    faults: faultsFrom(options.faults),
  };
}

const LOOPBACK = /^(127\.[\d.]+|::1|localhost)$/;

function statusFrom(credentials: TestProxyOptions["credentials"]): Plan["status"] {
  if (typeof credentials === "function") return (given) => whole("what credentials() gave", credentials(given));
  if (credentials === undefined) return () => 0;
  const { username, password = "" } = shown(credentials);
  return (given) => given.username === username && given.password === password ? 0 : 1;
}

function shown(credentials: TestCredentials): TestCredentials {
  const { username, password = "" } = Object(credentials);
  const fits = (it: unknown) => typeof it === "string" && new TextEncoder().encode(it).length <= 255;
  if (fits(username) && username !== "" && fits(password)) return credentials;
  const want = "{ username, password } of at most 255 bytes each, or a function";
  throw new TypeError(cannot("credentials", want, { toString: () => "(redacted)" }));
}

function ruleFrom(rules: TestProxyOptions["rules"]): Plan["rule"] {
  if (typeof rules === "function") return (target) => checkedRule(target, rules(target));
  const known = new Map(Object.entries(rules === undefined ? {} : object("rules", "an object or a function", rules)));
  for (const [target, rule] of known) {
    if (!/^(\[[^\]]+\]|[^:]+):\d+$/.test(target)) throw new TypeError(cannot("rules", "host:port = rule", target));
    checkedRule(target, rule);
  }
  return (target) => known.get(target);
}

function checkedRule(target: string, rule: TestRule | undefined): TestRule | undefined {
  const name = `the rule for ${target}`;
  if (rule === undefined || rule === "echo" || rule === "silence") return rule;
  object(name, '{ port }, { rep }, "echo" or "silence"', rule);
  if ("rep" in rule) whole(name, rule.rep);
  else if (typeof (rule.hostname ?? "") === "string") whole(name, rule.port, 65_535);
  else throw new TypeError(cannot(name, "{ hostname, port } with a host name", rule.hostname));
  return rule;
}

function faultsFrom(faults: TestProxyOptions["faults"]): Plan["faults"] {
  if (typeof faults === "function") return (connection) => scriptsOf(faults(connection));
  if (Array.isArray(faults)) {
    const scripts = faults.map(scriptsOf);
    return ({ index }) => scripts[index] ?? [];
  }
  const scripts = scriptsOf(faults as Parameters<typeof scriptsOf>[0]);
  return () => scripts;
}
