import type { Bytes } from "../src/transport.ts";

const ALGORITHMS = ["sha256", "sha384", "sha512"];
const EXPRESSION = /^(sha256|sha384|sha512)-([A-Za-z0-9+/_-]+={0,2})(\?[\x21-\x7e]*)?$/;

/**
 * Whether bytes are what `integrity` says (Subresource Integrity, "Do bytes match metadataList?"): one of its hashes of
 * the strongest kind is enough, and what is malformed does not count.
 */
export async function matches(bytes: Bytes, integrity: string): Promise<boolean> {
  const hashes = integrity.split(/[\t\n\f\r ]+/).flatMap((it) => {
    const [, algorithm = "", value = ""] = EXPRESSION.exec(it) ?? [];
    return algorithm === "" ? [] : [{ algorithm, value: base64(value) }];
  });
  if (hashes.length === 0) return true;
  const strongest = ALGORITHMS.findLast((it) => hashes.some(({ algorithm }) => algorithm === it))!;
  const hash = await crypto.subtle.digest(strongest.replace("sha", "SHA-"), bytes);
  const digest = base64(btoa(String.fromCharCode(...new Uint8Array(hash))));
  return hashes.some(({ algorithm, value }) => algorithm === strongest && value === digest);
}

/** The same text for the same bytes: with or without padding, in either alphabet. */
function base64(text: string): string {
  return text.replace(/=+$/, "").replaceAll("-", "+").replaceAll("_", "/");
}
