import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { certificates } from "./certificates.ts";
import { startTarget, type Target } from "./targets.ts";

/** A mail server that wants STARTTLS, takes one message at a time and keeps it in `mails`. */
export function startSmtp(mails: string[]): Promise<Target> {
  return startTarget((socket) => {
    socket.write("220 mail.example\r\n");
    converse(socket, mails, false);
  });
}

function converse(socket: Socket, mails: string[], isSecure: boolean): void {
  let said = "";
  let mail: string | undefined;
  const say = (...lines: string[]) => socket.write(lines.map((line) => `${line}\r\n`).join(""));
  const answer = (line: string) => {
    const command = line.slice(0, 4).toUpperCase();
    if (mail !== undefined) {
      mail += `${line}\n`;
      if (line !== ".") return;
      mails.push(mail);
      mail = undefined;
      say("250 taken");
    } else if (command === "EHLO") {
      if (isSecure) say("250 mail.example");
      else say("250-mail.example", "250 STARTTLS");
    } else if (command === "STAR") {
      socket.off("data", listen);
      say("220 go ahead");
      const secure = new TLSSocket(socket, { isServer: true, ...certificates().names });
      secure.on("error", () => socket.destroy());
      converse(secure, mails, true);
    } else if (!isSecure) {
      say("530 STARTTLS first");
    } else if (command === "DATA") {
      mail = "";
      say("354 go on");
    } else if (command === "QUIT") {
      say("221 bye");
      socket.end();
    } else {
      say("250 ok");
    }
  };
  const listen = (chunk: Uint8Array) => {
    const lines = (said += chunk).split("\r\n");
    said = lines.pop()!;
    for (const line of lines) answer(line);
  };
  socket.on("data", listen).on("end", () => socket.end());
}
