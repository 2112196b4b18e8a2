const MOST = 8_192; // arguments of a call

/** A character for each byte. */
export function decodeLatin1(bytes: Uint8Array): string {
  if (bytes.length <= MOST) return String.fromCharCode.apply(null, bytes as unknown as number[]);
  return decodeLatin1(bytes.subarray(0, MOST)) + decodeLatin1(bytes.subarray(MOST));
}

/** A byte for each character. */
export function encodeLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
