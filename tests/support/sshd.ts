import process from "node:process";
import { mkdirSync } from "node:fs";
import { answers, type Process } from "./real_process.ts";
import type { Place } from "./real_program.ts";

/** Starts an sshd with keys of its own, which takes the key `user` of the directory from the user who runs the tests. */
export async function startSshd({ directory, start, run, write }: Place, port: number): Promise<Process> {
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  for (const key of ["host", "user"]) await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key);
  const config = write(
    "sshd_config",
    `ListenAddress 127.0.0.1:${port}
     HostKey ${directory}/host
     AuthorizedKeysFile ${directory}/user.pub
     PidFile none
     StrictModes no
     UsePAM no
     UseDNS no
     PasswordAuthentication no
     PermitRootLogin yes
     AllowTcpForwarding yes
    `,
  );
  return start("sshd", "-D", "-e", "-f", config);
}

/** Whether one listens there. */
export function greets(at: { hostname: string; port: number }): Promise<boolean> {
  return answers(at, new Uint8Array(0), new TextEncoder().encode("SSH-2.0"));
}
