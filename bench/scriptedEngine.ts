// A scripted engine for benches: an OpenAI-shaped server that answers with the same bytes every time, at once or chunk by chunk at a pace,
// in a process of its own. It prints its addresses as a JSON line and ends when its input closes; to a router each address is an engine of
// its own. `POST /script` with `{ "chunks": 100, "paceMs": 5 }` says how long its answers are and how many milliseconds lie between two
// chunks. Messages and Responses are answered in their own shapes, without streaming.
//
//   node bench/scriptedEngine.ts [CHUNKS] [ADDRESSES]
import { createServer, type RequestListener, type ServerResponse } from "node:http";
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
const messageOf = () =>
  Buffer.from(
    JSON.stringify({
      id: "msg_scripted",
      type: "message",
      role: "assistant",
      model: "scripted",
      content: [{ type: "text", text: word.repeat(chunks) }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 52, cache_read_input_tokens: 448, cache_creation_input_tokens: 0, output_tokens: chunks },
    }),
  );
const responseOf = () =>
  Buffer.from(
    JSON.stringify({
      id: "resp_scripted",
      object: "response",
      created_at: 1,
      status: "completed",
      model: "scripted",
      output: [
        {
          id: "msg_scripted",
          type: "message",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: word.repeat(chunks), annotations: [] }],
        },
      ],
      usage: {
        input_tokens: 500,
        input_tokens_details: { cached_tokens: 448 },
        output_tokens: chunks,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 500 + chunks,
      },
    }),
  );
/** Whole answers by their path. */
const wholesOf = (): Record<string, Buffer> => ({
  "/v1/chat/completions": wholeOf(),
  "/v1/messages": messageOf(),
  "/v1/responses": responseOf(),
});
let last = lastOf();
let wholes = wholesOf();
const models = JSON.stringify({ object: "list", data: [{ id: "scripted", object: "model" }] });

const handle: RequestListener = (request, response) => {
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
      wholes = wholesOf();
      return void response.writeHead(204).end();
    }
    // Routers of vLLM and SGLang ask their workers for health and for what they serve.
    if (request.method === "GET") return void response.writeHead(200).end(JSON.stringify({ model_path: "scripted" }));
    if (!streams) {
      const answer = wholes[request.url!] ?? wholes["/v1/chat/completions"]!;
      response.writeHead(200, { "content-type": "application/json", "content-length": answer.length });
      return void response.end(answer);
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    if (paceMs > 0) return pace(response);
    for (let chunk = 0; chunk < chunks; chunk++) response.write(part);
    return void response.end(last);
  });
};

function pace(response: ServerResponse): void {
  let sent = 0;
  const timer = setInterval(() => {
    if (sent++ < chunks) return void response.write(part);
    clearInterval(timer);
    response.end(last);
  }, paceMs);
  response.once("close", () => clearInterval(timer));
}

/** Listens at a free port; answers its address. */
const listening = () =>
  new Promise<string>((resolve) => {
    const server = createServer(handle);
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });
const urls = await Promise.all(Array.from({ length: Number(process.argv[3] ?? 1) }, listening));
process.stdout.write(`${JSON.stringify({ url: urls[0], urls: urls.join() })}\n`);
process.stdin.resume().once("end", () => process.exit(0));
