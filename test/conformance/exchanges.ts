// Exchanges with a real server, for the fixtures that an adapter's ordinary test runs on.
import { writeFileSync } from "node:fs";
import { scale, weighing } from "./tools.ts";

type Json = Record<string, unknown>;

/** Calls by their names: the path and the body of each. */
export type Calls = Record<string, [path: string, body: Json]>;

/** What a server's calls have beside the usual fields: all conversations, streams, calls of tools, answers that go on. */
interface OwnFields {
  all?: Json;
  streamed?: Json;
  tools?: Json;
  begun?: Json;
}

/** Calls that every server of OpenAI's routes is recorded with. */
export function usualCalls(model: string, { all, streamed, tools, begun }: OwnFields): Calls {
  const chat = "/v1/chat/completions";
  const texts = "/v1/completions";
  const stream = { stream: true, stream_options: { include_usage: true }, ...streamed };
  const hi = { model, messages: [{ role: "user", content: "Say hi." }], temperature: 0, ...all };
  const text = { model, prompt: "Once upon", max_tokens: 3, temperature: 0 };
  const toolCall = { ...hi, messages: weighing, tools: [scale], max_tokens: 40, ...tools };
  const tale = [
    { role: "user", content: "Tell a tale." },
    { role: "assistant", content: "Once upon a" },
  ];
  const goesOn = { ...hi, messages: tale, max_tokens: 3, ...begun };
  return {
    "a chat": [chat, { ...hi, max_tokens: 4 }],
    "a chat whose prompt is cached": [chat, { ...hi, max_tokens: 4 }],
    "a chat as a stream": [chat, { ...hi, max_tokens: 4, ...stream }],
    "a text": [texts, text],
    "a text as a stream": [texts, { ...text, ...stream }],
    "a tool call": [chat, toolCall],
    "a tool call as a stream": [chat, { ...toolCall, ...stream }],
    "an answer that goes on": [chat, goesOn],
    "an answer that goes on as a stream": [chat, { ...goesOn, ...stream }],
    "two answers": [chat, { ...hi, max_tokens: 2, n: 2 }],
    "two answers as a stream": [chat, { ...hi, max_tokens: 2, n: 2, ...stream }],
    "two prompts": [texts, { ...text, prompt: ["Once upon", "Twice upon a"] }],
    "a prompt that is too long": [chat, { ...hi, messages: [{ role: "user", content: "word ".repeat(1500) }] }],
    "a field of another kind": [chat, { ...hi, max_tokens: "four" }],
  };
}

/** One request, and its answer as it came. */
export async function exchange(url: string, path: string, body?: Json) {
  const init = body && { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const answer = await fetch(url + path, init);
  return { status: answer.status, type: answer.headers.get("content-type"), body: await answer.text() };
}

/** The answer to a question in JSON. */
export async function answerOf(url: string, path: string, body?: Json): Promise<Json> {
  return JSON.parse((await exchange(url, path, body)).body) as Json;
}

/** Makes the calls one after another, because an answer depends on what the cache holds. */
export async function recordedCalls(url: string, calls: Calls): Promise<Json> {
  const recorded: Json = {};
  for (const [name, [path, body]] of Object.entries(calls))
    recorded[name] = { request: { path, body }, response: await exchange(url, path, body) };
  return recorded;
}

/** Writes a fixture. `software`: name and version; `by`: how the server was started. */
export function writeRecording(file: URL, recording: { software: string; by: string } & Json): void {
  writeFileSync(file, `${JSON.stringify({ made: "recorded", ...recording }, undefined, 2)}\n`);
}
