// Exchanges with a real server, for the fixtures that an adapter's ordinary test runs on.
import { writeFileSync } from "node:fs";

type Json = Record<string, unknown>;

/** Calls by their names: the path and the body of each. */
export type Calls = Record<string, [path: string, body: Json]>;

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
