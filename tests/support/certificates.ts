import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";

/** A certificate and its private key, as PEM. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

/** What a certificate is for; it is valid since yesterday and until tomorrow if nothing else is said. */
export interface Request {
  names?: string[];
  /** IP addresses, IPv6 in full: eight groups. */
  ips?: string[];
  /** Other names, or such as no honest authority signs: the tag of the GeneralName and its content. */
  others?: [tag: number, value: string][];
  /** Days from now. */
  valid?: [from: number, to: number];
  usage?: "server" | "client";
}

/** The certificates of this process, all for tests: nobody else trusts them. */
export interface Certificates {
  /** Has signed all below but `self` and `stranger`. */
  readonly authority: Authority;
  readonly otherAuthority: Authority;
  /** For `localhost`, `example.com`, `mail.example`, `target.example` and `*.wild.example`. */
  readonly names: Issued;
  /** For 127.0.0.1 and ::1. */
  readonly ips: Issued;
  /** For `localhost` and 127.0.0.1. */
  readonly both: Issued;
  readonly expired: Issued;
  readonly notYetValid: Issued;
  /** For `localhost` and 127.0.0.1, signed by `otherAuthority`. */
  readonly stranger: Issued;
  /** For a client named `client`. */
  readonly client: Issued;
}

/** Signs certificates. */
export class Authority {
  readonly cert: string;
  readonly #name: string;
  readonly #keys: Keys = newKeys();

  constructor(name: string) {
    this.#name = name;
    const extensions = [
      extension("551d13", tlv(0x30, hex("0101ff")), true),
      extension("551d0f", hex("03020106"), true),
    ];
    this.cert = certificate(name, this.#keys, name, this.#keys.publicKey, [-1, 2], extensions);
  }

  issue(
    subject: string,
    { names = [], ips = [], others = [], valid = [-1, 1], usage = "server" }: Request = {},
  ): Issued {
    const keys = newKeys();
    const alternatives = [
      ...others.map(([tag, value]) => tlv(tag, Buffer.from(value, "latin1"))),
      ...names.map((it) => tlv(0x82, Buffer.from(it))),
      ...ips.map((it) => tlv(0x87, ipBytes(it))),
    ];
    const extensions = [
      extension("551d13", tlv(0x30)),
      extension("551d25", tlv(0x30, tlv(0x06, hex(`2b060105050703${usage === "server" ? "01" : "02"}`)))),
      ...(alternatives.length > 0 ? [extension("551d11", tlv(0x30, ...alternatives))] : []),
    ];
    return {
      cert: certificate(this.#name, this.#keys, subject, keys.publicKey, valid, extensions),
      key: keys.privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    };
  }
}

let made: Certificates | undefined;

/** Made at the first call. */
export function certificates(): Certificates {
  return made ??= make();
}

function make(): Certificates {
  const [authority, otherAuthority] = [new Authority("an authority"), new Authority("another authority")];
  const here = { names: ["localhost"], ips: ["127.0.0.1"] };
  return {
    authority,
    otherAuthority,
    names: authority.issue("names", {
      names: ["localhost", "example.com", "mail.example", "target.example", "*.wild.example"],
    }),
    ips: authority.issue("ips", { ips: ["127.0.0.1", "0:0:0:0:0:0:0:1"] }),
    both: authority.issue("both", here),
    expired: authority.issue("expired", { ...here, valid: [-3, -1] }),
    notYetValid: authority.issue("not yet valid", { ...here, valid: [1, 3] }),
    stranger: otherAuthority.issue("stranger", here),
    client: authority.issue("client", { usage: "client" }),
  };
}

type Keys = { publicKey: KeyObject; privateKey: KeyObject };

function newKeys(): Keys {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

const ecdsaWithSha256 = tlv(0x30, tlv(0x06, hex("2a8648ce3d040302")));
let serial = 1000;

/** RFC 5280 section 4.1. */
function certificate(
  issuer: string,
  issuerKeys: Keys,
  subject: string,
  publicKey: KeyObject,
  valid: [from: number, to: number],
  extensions: Buffer[],
): string {
  const body = tlv(
    0x30,
    tlv(0xa0, hex("020102")), // version 3
    tlv(0x02, Buffer.from([0x01, serial >> 8, serial++ & 0xff])),
    ecdsaWithSha256,
    name(issuer),
    tlv(0x30, ...valid.map(utcTime)),
    name(subject),
    publicKey.export({ type: "spki", format: "der" }) as Buffer,
    tlv(0xa3, tlv(0x30, ...extensions)),
  );
  const signature = sign("sha256", body, issuerKeys.privateKey);
  const der = tlv(0x30, body, ecdsaWithSha256, tlv(0x03, hex("00"), signature));
  const lines = der.toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function name(commonName: string): Buffer {
  return tlv(0x30, tlv(0x31, tlv(0x30, hex("0603550403"), tlv(0x0c, Buffer.from(commonName)))));
}

function utcTime(days: number): Buffer {
  const digits = new Date(Date.now() + days * 86_400_000).toISOString().replace(/\D/g, "");
  return tlv(0x17, Buffer.from(`${digits.slice(2, 14)}Z`));
}

function extension(oid: string, value: Buffer, critical = false): Buffer {
  return tlv(0x30, tlv(0x06, hex(oid)), ...(critical ? [hex("0101ff")] : []), tlv(0x04, value));
}

function ipBytes(ip: string): Buffer {
  if (!ip.includes(":")) return Buffer.from(ip.split(".").map(Number));
  return hex(ip.split(":").map((group) => group.padStart(4, "0")).join(""));
}

/** DER: tag, length, value. */
function tlv(tag: number, ...values: Uint8Array[]): Buffer {
  const value = Buffer.concat(values);
  const n = value.length;
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), value]);
}

function hex(digits: string): Buffer {
  return Buffer.from(digits, "hex");
}
