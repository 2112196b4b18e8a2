/** A client whose tunnels are sockets of `api`, such as native/node.mjs; `dial` is given a hostname and a port. */
export function raw({ close, echo, download, upload }, dial) {
  const client = {
    dial(target) {
      const [hostname, port] = target.split(":");
      return dial({ hostname, port: Number(port) });
    },
    close,
    download,
    upload,
    async firstByte() {
      const socket = await client.dial("echo.bench:80");
      try {
        await echo(socket);
      } finally {
        close(socket);
      }
    },
  };
  return client;
}
