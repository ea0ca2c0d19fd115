// The floor for our choice of Node: a proxy of node:http and undici's Pool.dispatch that parses the body and does nothing else.
//
//   node bench/bareProxy.ts http://127.0.0.1:PORT
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Pool } from "undici";

const pool = new Pool(process.argv[2]!, { connections: 512, pipelining: 1 });
const headers = ["content-type", "application/json"];

const server = createServer((request, response) => {
  const pieces: Buffer[] = [];
  request.on("data", (piece: Buffer) => void pieces.push(piece));
  request.on("end", () => {
    const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    JSON.parse(bytes.toString("utf8"));
    pool.dispatch(
      { method: "POST", path: request.url!, headers, body: bytes },
      {
        onRequestStart() {},
        onResponseStart(_controller, status, received) {
          response.writeHead(status, { "content-type": String(received["content-type"]) });
        },
        onResponseData(controller, chunk) {
          if (response.write(chunk)) return;
          controller.pause();
          response.once("drain", () => controller.resume());
        },
        onResponseEnd: () => void response.end(),
        onResponseError: () => void response.destroy(),
      },
    );
  });
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});
process.stdin.resume().once("end", () => process.exit(0));
