import { createHash } from "node:crypto";
import { chmodSync } from "node:fs";
import { connect } from "node:tls";
import { certificates } from "./certificates.ts";
import { answers, type Process } from "./real_process.ts";
import { type Place, program, type RealProgram } from "./real_program.ts";

export const CORP = { username: "corp", password: "open-sesame" };

const encode = (text: string) => new TextEncoder().encode(text);

/** Whether an HTTP proxy listens there. */
function speaksHttp(at: { hostname: string; port: number }): Promise<boolean> {
  return answers(at, encode("GET / HTTP/1.0\r\n\r\n"), encode("HTTP/1."));
}

/** The same behind TLS. */
function speaksHttps(at: { hostname: string; port: number }): Promise<boolean> {
  const tls = { host: at.hostname, port: at.port, servername: "localhost", ca: certificates().authority.cert };
  return answers(at, encode("GET / HTTP/1.0\r\n\r\n"), encode("HTTP/1."), () => connect(tls));
}

/** tinyproxy with a password. */
export const tinyproxy: RealProgram = program({
  name: "tinyproxy",
  programs: ["tinyproxy"],
  credentials: CORP,
  isReady: speaksHttp,
  launch({ port, start, write }) {
    const config = write(
      "tinyproxy.conf",
      `Port ${port}
       Listen 127.0.0.1
       Timeout 30
       MaxClients 50
       LogLevel Warning
       BasicAuth ${CORP.username} ${CORP.password}
      `.replace(/^ +/gm, ""),
    );
    return start("tinyproxy", "-d", "-c", config);
  },
});

/** squid with a password. It refuses CONNECT to port 9. */
export const squid: RealProgram = program({
  name: "squid",
  programs: ["squid"],
  credentials: CORP,
  isReady: speaksHttp,
  launch: (place) => startSquid(place, `http_port 127.0.0.1:${place.port}`),
});

/** squid with a password, behind TLS with the certificate for `localhost` and 127.0.0.1. */
export const squidWithTls: RealProgram = program({
  name: "squid with TLS",
  programs: ["squid"],
  credentials: CORP,
  isReady: speaksHttps,
  launch(place) {
    const { cert, key } = certificates().both;
    const pem = place.write("squid.pem", cert + key);
    return startSquid(place, `https_port 127.0.0.1:${place.port} tls-cert=${pem}`);
  },
});

function startSquid({ directory, start, write }: Place, listen: string): Process {
  chmodSync(directory, 0o755); // started by root, it becomes another user
  const hash = createHash("md5").update(CORP.password).digest("hex");
  const passwords = write("passwords", `${CORP.username}:${hash}\n`);
  const config = write(
    "squid.conf",
    `${listen}
     auth_param basic program /usr/lib/squid/basic_ncsa_auth ${passwords}
     auth_param basic realm test
     acl known proxy_auth REQUIRED
     acl discard port 9
     http_access deny !known
     http_access deny discard
     http_access allow all
     pid_filename none
     access_log none
     cache_log /dev/stderr
     cache deny all
     pinger_enable off
     coredump_dir ${directory}
     visible_hostname squid.test
     shutdown_lifetime 0 seconds
    `.replace(/^ +/gm, ""),
  );
  return start("squid", "-N", "-f", config);
}
