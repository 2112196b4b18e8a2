/**
 * A form as `multipart/form-data` (RFC 7578, and "multipart/form-data encoding algorithm" of the HTML standard). A `Blob`
 * of parts, which reads no file before it is sent and knows how long it is.
 */
export function formDataBlob(form: FormData): Blob {
  const boundary = `----formdata-${crypto.randomUUID()}`;
  const parts: BlobPart[] = [];
  for (const [name, value] of form) {
    parts.push(`--${boundary}\r\nContent-Disposition: form-data; name="${escaped(crlf(name))}"`);
    if (typeof value === "string") {
      parts.push(`\r\n\r\n${crlf(value)}\r\n`);
    } else {
      const type = value.type || "application/octet-stream";
      parts.push(`; filename="${escaped(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`, value, "\r\n");
    }
  }
  parts.push(`--${boundary}--\r\n`);
  return new Blob(parts, { type: `multipart/form-data; boundary=${boundary}` });
}

function crlf(text: string): string {
  return text.replace(/\r\n?|\n/g, "\r\n");
}

function escaped(text: string): string {
  return text.replaceAll("\n", "%0A").replaceAll("\r", "%0D").replaceAll('"', "%22");
}
