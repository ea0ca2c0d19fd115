// The fixture server's one answer of POST /v1/chat/completions, streamed word by word as an engine would.
import type { ServerResponse } from "node:http";
import type { CallDetail } from "../../contract/index.ts";
import { newId } from "../../store/ids.ts";
import type { Fixture } from "./fixture.ts";
import { makeCall } from "./fixtureCalls.ts";
import type { Random } from "./random.ts";
import { Answer, pause } from "./serverAnswers.ts";

const firstWordMs = 60;
const wordMs = 18;
/** Words that are sent before an answer breaks off on demand. */
const wordsBeforeBreak = 9;

const answer =
  "The spindle runs at 1,332 rpm, below its limit of 1,380 rpm, while air and process differ by only 8.1 K. Both together point to **heat dissipation**: the coolant does not carry away what the cut produces.\n\nI would check, in this order:\n\n1. the coolant level and its filter,\n2. the fan of the cabinet,\n3. the feed rate of the last program.";

/** Streams the answer and returns its call; undefined when the client left or `breaks` was set, which ends the connection early. */
export async function answerChat(
  fixture: Fixture,
  random: Random,
  body: Record<string, unknown>,
  response: ServerResponse,
  breaks: boolean,
): Promise<CallDetail | undefined> {
  const model = String(body["model"]);
  if (!fixture.status.deployments.some((each) => each.name === model))
    throw new Answer(404, "model_not_found", `No model is called ${model}.`, "See GET /v1/models.");
  const messages = body["messages"] as { content: string }[];
  const words = answer.split(/(?<= )/);
  const prompt = 40 + messages.reduce((sum, message) => sum + Math.ceil(String(message.content).length / 4), 0);
  const cached = messages.length > 1 ? Math.floor(prompt / 64) * 64 : 0;
  const call = makeCall(random, {
    at: Date.now(),
    model,
    key: fixture.keys[0]!.id,
    status: "completed",
    prompt,
    output: words.length,
  });
  response.writeHead(200, {
    "content-type": "text/event-stream",
    "x-request-id": newId("req"),
    "x-lineshaft-call": call.id,
  });
  const send = (part: Record<string, unknown>) => {
    const created = Math.floor(Date.now() / 1000);
    const chunk = { id: call.id, object: "chat.completion.chunk", created, model, choices: [], ...part };
    response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  };
  const choice = (delta: unknown, finish: string | null = null) =>
    send({ choices: [{ index: 0, delta, finish_reason: finish }] });
  await pause(firstWordMs);
  choice({ role: "assistant", content: "" });
  for (const [index, word] of words.entries()) {
    if (response.destroyed) return undefined;
    if (breaks && index === wordsBeforeBreak) {
      response.destroy();
      return undefined;
    }
    choice({ content: word });
    await pause(wordMs);
  }
  choice({}, "stop");
  send({
    usage: {
      prompt_tokens: prompt,
      completion_tokens: words.length,
      total_tokens: prompt + words.length,
      prompt_tokens_details: { cached_tokens: cached },
    },
  });
  response.end("data: [DONE]\n\n");
  return call;
}
