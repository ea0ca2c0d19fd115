// A scripted engine whose answers differ in length: an OpenAI-shaped server that generates as many tokens as the call's message says, at most
// `max_tokens`, at a speed, and stops when its client has gone. It counts what it has generated for every call: the truth that bills are
// compared with. It prints its address as a JSON line and ends when its input closes.
//
//   node bench/budgets/engine.ts TOKENS_PER_SECOND [provider]
//
// It says that it is SGLang, which stops when its client has gone and counts while it streams. As a `provider` it says nothing, so that the
// gateway must take it to bill all of the limit that it was sent.
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const tokensPerSecond = Number(process.argv[2] ?? 1000);
const isProvider = process.argv[3] === "provider";
const models = JSON.stringify({
  object: "list",
  data: [{ id: "scripted", ...(!isProvider && { owned_by: "sglang" }) }],
});
/** Four characters are a token here and in the gateway's estimate, so that what is counted where usage is missing is the truth. */
const token = " tok";
const tokensInPiece = 32;
const truth = { calls: 0, promptTokens: 0, outputTokens: 0 };

const head = { id: "chatcmpl-scripted", object: "chat.completion.chunk", created: 1, model: "scripted" };
const event = (object: object) => `data: ${JSON.stringify({ ...head, ...object })}\n\n`;
const piece = (tokens: number, usage: object | undefined) =>
  event({ choices: [{ index: 0, delta: { content: token.repeat(tokens) }, finish_reason: null }], usage });

interface Asked {
  stream?: boolean;
  max_tokens?: number;
  max_completion_tokens?: number;
  stream_options?: { continuous_usage_stats?: boolean };
  messages: { content: string }[];
}

/** The prompt's tokens, and how many the answer wants and may have. */
function read(asked: Asked): { promptTokens: number; wanted: number; limit: number } {
  const text = asked.messages.map(({ content }) => content).join("");
  const wanted = Number(/^tokens=(\d+);/.exec(text)?.[1] ?? 20);
  const limit = asked.max_tokens ?? asked.max_completion_tokens ?? Infinity;
  return { promptTokens: Math.ceil(text.length / 4), wanted, limit };
}

function answer(asked: Asked, response: ServerResponse): void {
  const { promptTokens, wanted, limit } = read(asked);
  const most = Math.min(wanted, limit);
  const finish = wanted > limit ? "length" : "stop";
  truth.calls++;
  truth.promptTokens += promptTokens;
  let sent = 0;
  const usage = () => ({ prompt_tokens: promptTokens, completion_tokens: sent, total_tokens: promptTokens + sent });
  if (asked.stream) response.writeHead(200, { "content-type": "text/event-stream" });
  const next = () => {
    if (response.destroyed) return;
    const tokens = Math.min(tokensInPiece, most - sent);
    sent += tokens;
    truth.outputTokens += tokens;
    if (tokens > 0 && asked.stream)
      response.write(piece(tokens, asked.stream_options?.continuous_usage_stats ? usage() : undefined));
    if (sent < most) return void setTimeout(next, (tokensInPiece / tokensPerSecond) * 1000);
    if (asked.stream) {
      response.write(event({ choices: [{ index: 0, delta: {}, finish_reason: finish }] }));
      response.end(`${event({ choices: [], usage: usage() })}data: [DONE]\n\n`);
      return;
    }
    const message = { role: "assistant", content: token.repeat(sent) };
    const whole = { ...head, object: "chat.completion", choices: [{ index: 0, message, finish_reason: finish }] };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ ...whole, usage: usage() }));
  };
  next();
}

const server = createServer((request, response) => {
  const pieces: Buffer[] = [];
  request.on("data", (bytes: Buffer) => pieces.push(bytes));
  request.on("end", () => {
    if (request.url === "/truth") return void response.end(JSON.stringify(truth));
    if (request.url === "/v1/models") return void response.end(models);
    if (request.url === "/tokenize" && !isProvider) {
      const { messages, prompt } = JSON.parse(Buffer.concat(pieces).toString()) as Partial<Asked> & { prompt?: string };
      const text = prompt ?? messages?.map(({ content }) => content).join("") ?? "";
      return void response.end(JSON.stringify({ count: Math.ceil(text.length / 4), tokens: [] }));
    }
    if (request.url !== "/v1/chat/completions") return void response.writeHead(404).end("{}");
    answer(JSON.parse(Buffer.concat(pieces).toString()) as Asked, response);
  });
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});
process.stdin.resume().once("end", () => process.exit(0));
