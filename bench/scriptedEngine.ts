// A scripted engine for benches: an OpenAI-shaped server that answers with the same bytes every time, at once or chunk by chunk at a pace,
// in a process of its own. It prints its address as a JSON line and ends when its input closes. `POST /script` with
// `{ "chunks": 100, "paceMs": 5 }` says how long its answers are and how many milliseconds lie between two chunks.
//
//   node bench/scriptedEngine.ts [CHUNKS]
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

let chunks = Number(process.argv[2] ?? 20);
let paceMs = 0;
const word = " token";
const usageOf = () => ({
  prompt_tokens: 500,
  completion_tokens: chunks,
  total_tokens: 500 + chunks,
  prompt_tokens_details: { cached_tokens: 448 },
});
const head = { id: "chatcmpl-scripted", created: 1, model: "scripted" };
const event = (object: object) =>
  `data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", ...object })}\n\n`;
const part = Buffer.from(event({ choices: [{ index: 0, delta: { content: word }, finish_reason: null }] }));
const lastOf = () =>
  Buffer.from(
    event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }) +
      event({ choices: [], usage: usageOf() }) +
      "data: [DONE]\n\n",
  );
const wholeOf = () =>
  Buffer.from(
    JSON.stringify({
      ...head,
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content: word.repeat(chunks) }, finish_reason: "stop" }],
      usage: usageOf(),
    }),
  );
let last = lastOf();
let whole = wholeOf();
const models = JSON.stringify({ object: "list", data: [{ id: "scripted", object: "model" }] });

const server = createServer((request, response) => {
  let text = "";
  let streams = false;
  request.on("data", (piece: Buffer) => {
    // A body need not be parsed for one word, which a gateway may have moved to any place. It may lie on the border of two pieces.
    text = text.slice(-20) + piece.toString("latin1");
    streams ||= text.includes('"stream":true') || text.includes('"stream": true');
  });
  request.on("end", () => {
    if (request.url === "/v1/models") return void response.writeHead(200).end(models);
    if (request.url === "/tokenize") return void response.writeHead(404).end();
    if (request.url === "/script") {
      ({ chunks, paceMs } = JSON.parse(text) as { chunks: number; paceMs: number });
      last = lastOf();
      whole = wholeOf();
      return void response.writeHead(204).end();
    }
    // Routers of vLLM and SGLang ask their workers for health and for what they serve.
    if (request.method === "GET") return void response.writeHead(200).end(JSON.stringify({ model_path: "scripted" }));
    if (!streams) {
      response.writeHead(200, { "content-type": "application/json", "content-length": whole.length });
      return void response.end(whole);
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    if (paceMs > 0) return pace(response);
    for (let chunk = 0; chunk < chunks; chunk++) response.write(part);
    return void response.end(last);
  });
});

function pace(response: ServerResponse): void {
  let sent = 0;
  const timer = setInterval(() => {
    if (sent++ < chunks) return void response.write(part);
    clearInterval(timer);
    response.end(last);
  }, paceMs);
  response.once("close", () => clearInterval(timer));
}
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});
process.stdin.resume().once("end", () => process.exit(0));
