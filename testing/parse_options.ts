import { checkFunction, checkOptions, choice, type Known, ownOptions, unknownOption } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import { milliseconds } from "../src/config/settings.ts";
import { whole } from "./validate.ts";
import type { TestConnection, TestCredentials } from "./log.ts";
import type { TestProxyOptions, TestRule, TestUdp } from "./options.ts";
import { type Script, scriptsOf } from "./script.ts";

/** Options with all defaults, checked; what functions in them return is checked at each call. */
export interface ParsedOptions {
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

const OPTIONS: Known<TestProxyOptions> = {
  hostname: true,
  port: true,
  path: true,
  credentials: true,
  methods: true,
  rules: true,
  udp: true,
  faults: true,
  framing: true,
  halfClose: true,
  handshakeTimeout: true,
};

const UDP: Known<TestUdp> = { rules: true, answer: true, received: true, ports: true, clients: true };

/** Checks the options; throws a `TypeError` or a `RangeError` that names the option. */
export function parseOptions(given: TestProxyOptions): ParsedOptions {
  const options = checkOptions("options", given, OPTIONS);
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
    throw new TypeError("Cannot use path as undefined: there are a hostname or a port");
  }
  const known = credentials === undefined || typeof credentials === "function"
    ? undefined
    : checkCredentials(credentials);
  if (!Array.isArray(methods)) throw new TypeError(cannot("methods", "a list of numbers", methods));
  return {
    hostname,
    port: whole("port", options.port ?? 0, 65_535),
    path,
    known,
    methods: methods.map((it) => whole("methods", it)),
    framing: choice("framing", options.framing ?? "stream", ["stream", "datagram", "overwrite"]),
    halfClose: choice("halfClose", options.halfClose ?? "carry", ["carry", "cut"]),
    handshakeTimeout: milliseconds("handshakeTimeout", options.handshakeTimeout, Infinity),
    udp: options.udp === undefined ? undefined : parseUdp(options.udp),
    status: typeof credentials === "function"
      ? (given) => whole("the result of credentials()", credentials(given))
      : parseCredentials(known),
    rule: parseRules(options.rules),
    faults: parseFaults(options.faults),
  };
}

const LOOPBACK = /^(127\.[\d.]+|::1|localhost)$/;

function parseUdp(given: TestUdp): TestUdp {
  const { rules = {}, answer, received, ports, clients } = checkOptions("udp", given, UDP);
  checkFunction("udp.answer", answer);
  for (const [name, list] of Object.entries({ received, ports, clients })) {
    if (list !== undefined && !Array.isArray(list)) throw new TypeError(cannot(`udp.${name}`, "a list", list));
  }
  for (const rule of rulesOf("udp.rules", rules).values()) {
    if (typeof rule === "string" || "rep" in rule) throw new TypeError(cannot("udp.rules", "{ hostname, port }", rule));
  }
  return { rules, answer, received, ports, clients };
}

function parseCredentials(known: TestCredentials | undefined): ParsedOptions["status"] {
  if (known === undefined) return () => 0;
  const { username, password = "" } = known;
  return (given) => given.username === username && given.password === password ? 0 : 1;
}

/** A copy; nothing of credentials is shown, not even a member that is not known. */
function checkCredentials(credentials: TestCredentials): TestCredentials {
  const { username, password } = ownOptions(Object(credentials), CREDENTIALS) as TestCredentials;
  const fits = (it: unknown) => typeof it === "string" && new TextEncoder().encode(it).length <= 255;
  const isKnown = typeof credentials === "object" && unknownOption(credentials, CREDENTIALS) === undefined;
  if (isKnown && fits(username) && username !== "" && fits(password ?? "")) return { username, password };
  const want = "{ username, password } of at most 255 bytes each, or a function";
  throw new TypeError(cannot("credentials", want, credentials));
}

function parseRules(rules: TestProxyOptions["rules"] = {}): ParsedOptions["rule"] {
  if (typeof rules === "function") return (target) => checkRule(target, rules(target));
  const known = rulesOf("rules", rules);
  return (target) => known.get(target);
}

function rulesOf(name: string, rules: object): Map<string, TestRule> {
  if (typeof rules !== "object" || rules === null || Array.isArray(rules)) {
    throw new TypeError(cannot(name, "an object or a function", rules));
  }
  const known = new Map(Object.entries(rules));
  for (const [target, rule] of known) {
    if (!TARGET.test(target)) throw new TypeError(cannot(name, "host:port = rule", target));
    checkRule(target, rule);
  }
  return known;
}

const TARGET = /^(\[[^\]]+\]|[^:]+):\d+$/;

function checkRule(target: string, rule: TestRule | undefined): TestRule | undefined {
  const name = /^[\w.[\]:-]+$/.test(target) ? `the rule for ${target}` : "the rule for a target";
  if (rule === undefined || rule === "echo" || rule === "silence") return rule;
  if (typeof rule !== "object" || rule === null || Array.isArray(rule)) {
    throw new TypeError(cannot(name, '{ port }, { rep }, "echo" or "silence"', rule));
  }
  const { rep, hostname, port } = ownOptions<Parts>(rule, RULE); // it may be a server of the caller's
  if (rep !== undefined) whole(name, rep);
  else if (typeof (hostname ?? "") === "string") whole(name, port!, 65_535);
  else throw new TypeError(cannot(name, "{ hostname, port } with a host name", hostname));
  return rule;
}

type Parts = { rep?: number; hostname?: string | undefined; port?: number };

const RULE: Known<Parts> = { rep: true, hostname: true, port: true };

const CREDENTIALS: Known<TestCredentials> = { username: true, password: true };

function parseFaults(faults: TestProxyOptions["faults"]): ParsedOptions["faults"] {
  if (typeof faults === "function") return (connection) => scriptsOf(faults(connection));
  if (Array.isArray(faults)) {
    const scripts = faults.map(scriptsOf);
    return ({ index }) => scripts[index] ?? [];
  }
  const scripts = scriptsOf(faults as Parameters<typeof scriptsOf>[0]);
  return () => scripts;
}
