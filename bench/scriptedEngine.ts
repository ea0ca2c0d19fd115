// A scripted engine for benches: an OpenAI-shaped server that answers at once, with the same bytes every time, in a process of
// its own. It prints its address as a JSON line and ends when its input closes.
//
//   node bench/scriptedEngine.ts [CHUNKS]
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const chunks = Number(process.argv[2] ?? 20);
const word = " token";
const usage = {
  prompt_tokens: 500,
  completion_tokens: chunks,
  total_tokens: 500 + chunks,
  prompt_tokens_details: { cached_tokens: 448 },
};
const head = { id: "chatcmpl-scripted", created: 1, model: "scripted" };
const event = (object: object) =>
  `data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", ...object })}\n\n`;
const part = Buffer.from(event({ choices: [{ index: 0, delta: { content: word }, finish_reason: null }] }));
const last = Buffer.from(
  event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }) +
    event({ choices: [], usage }) +
    "data: [DONE]\n\n",
);
const whole = Buffer.from(
  JSON.stringify({
    ...head,
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: word.repeat(chunks) }, finish_reason: "stop" }],
    usage,
  }),
);
const models = JSON.stringify({ object: "list", data: [{ id: "scripted", object: "model" }] });

const server = createServer((request, response) => {
  let start = "";
  request.on("data", (piece: Buffer) => {
    // Clients here write `stream` first: the body need not be parsed.
    if (start.length < 200) start += piece.toString("latin1", 0, 200);
  });
  request.on("end", () => {
    if (request.url === "/v1/models") return void response.writeHead(200).end(models);
    if (request.url === "/tokenize") return void response.writeHead(404).end();
    if (!/"stream":\s*true/.test(start)) {
      response.writeHead(200, { "content-type": "application/json", "content-length": whole.length });
      return void response.end(whole);
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let chunk = 0; chunk < chunks; chunk++) response.write(part);
    return void response.end(last);
  });
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});
process.stdin.resume().once("end", () => process.exit(0));
