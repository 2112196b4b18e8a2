// A server of gRPC that says everything back, with an exclamation mark: node grpc_server.mjs '{ "key"?, "cert"? }' prints a
// line of JSON with its port, then one with the peer and the name of the server for each call. It ends with its input.
import { Buffer } from "node:buffer";
import process from "node:process";
import { Server, ServerCredentials } from "@grpc/grpc-js";

const { key, cert } = JSON.parse(process.argv[2]);
const print = (it) => console.log(JSON.stringify(it));
const seen = (call) => print({ peer: call.getPeer(), host: call.getHost() });

const text = { requestDeserialize: String, responseSerialize: Buffer.from };
const service = {
  ask: { path: "/chat.Chat/Ask", requestStream: false, responseStream: false, ...text },
  talk: { path: "/chat.Chat/Talk", requestStream: true, responseStream: true, ...text },
};
const server = new Server();
server.addService(service, {
  ask(call, done) {
    seen(call);
    done(null, `${call.request}!`);
  },
  talk(call) {
    seen(call);
    call.on("data", (said) => call.write(`${said}!`)).on("end", () => call.end());
  },
});
const credentials = key
  ? ServerCredentials.createSsl(null, [{ private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }])
  : ServerCredentials.createInsecure();
server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
  if (error) throw error;
  print({ port });
});
process.stdin.on("end", () => process.exit()).resume();
