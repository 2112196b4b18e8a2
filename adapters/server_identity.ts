import { Buffer } from "node:buffer";
import { versions } from "node:process";
import { checkServerIdentity, type PeerCertificate } from "node:tls";

type Check = typeof checkServerIdentity;

/** Why a certificate is not for that name. Its common name does not count. */
export function nameError(serverName: string, cert: object): Error | undefined {
  return checkServerIdentity(serverName, { ...honest(cert as PeerCertificate), subject: undefined } as never);
}

/** The check of `node:tls`, or the caller's, on names that are what the certificate says. */
export function honestCheck(check: Check = checkServerIdentity): Check {
  return versions.deno ? (hostname, cert) => check(hostname, honest(cert)) : check;
}

// Deno joins the names and quotes none: "URI:http://evil/, DNS:good.example" is one name there, and reads as two
function honest(cert: PeerCertificate): PeerCertificate {
  return { ...cert, subjectaltname: altNames(cert.raw) };
}

/**
 * The subject alternative names of a certificate in DER (RFC 5280 section 4.2.1.6), written as Node writes them; none if
 * it is malformed.
 */
export function altNames(der: Uint8Array): string {
  try {
    const [certificate] = valuesOf(der);
    const [tbsCertificate] = inner(certificate!);
    const extensions = inner(tbsCertificate!).filter(({ tag }) => tag === 0xa3).flatMap(inner).flatMap(inner);
    const found = extensions.map(inner).filter(([oid]) => oid!.value.toString("hex") === "551d11");
    const [names] = found.length === 1 ? inner(found[0]!.at(-1)!) : []; // there may be no second one
    return names === undefined ? "" : inner(names).map(nameOf).join(", ");
  } catch {
    return "";
  }
}

interface Value {
  readonly tag: number;
  readonly value: Buffer;
}

const inner = ({ value }: Value): Value[] => valuesOf(value);

/** The values that stand one after another in DER. */
function valuesOf(der: Uint8Array): Value[] {
  const values: Value[] = [];
  for (let rest = Buffer.from(der); rest.length > 0;) {
    const [tag = 0, first = 0] = rest;
    const more = first < 0x80 ? 0 : first & 0x7f; // bytes of the length
    const length = more === 0 ? first : rest.readUIntBE(2, more);
    const end = 2 + more + length;
    if (end > rest.length) throw new RangeError("The certificate is malformed");
    values.push({ tag, value: rest.subarray(2 + more, end) });
    rest = rest.subarray(end);
  }
  return values;
}

/** One GeneralName. */
function nameOf({ tag, value }: Value): string {
  if (tag === 0x81) return `email:${quoted(value)}`;
  if (tag === 0x82) return `DNS:${quoted(value)}`;
  if (tag === 0x86) return `URI:${quoted(value)}`;
  if (tag === 0x87 && value.length === 4) return `IP Address:${value.join(".")}`;
  if (tag === 0x87 && value.length === 16) {
    const groups = value.toString("hex").toUpperCase().match(/.{4}/g)!;
    return `IP Address:${groups.map((group) => group.replace(/^0{1,3}/, "")).join(":")}`;
  }
  return "othername:<unsupported>";
}

/** A name that could be taken for several is quoted. */
function quoted(value: Buffer): string {
  const text = value.toString("latin1");
  if (/^[!#-&(-+\x2d-~]*$/.test(text)) return text;
  return JSON.stringify(text).replace(
    /[^ -+\x2d-~]/g,
    (it) => `\\u${it.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
