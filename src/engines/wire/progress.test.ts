// How the output of a stream is counted while it comes.
import { expect, test } from "vitest";
import { chunkOf } from "./chat/deltas.ts";
import { askForProgress, OutputProgress } from "./progress.ts";

const data = (content: string, more: Record<string, unknown> = {}, index = 0) => ({
  choices: [{ index, delta: { content } }],
  ...more,
});

function take(progress: OutputProgress, chunk: Record<string, unknown>) {
  const taken = progress.takenFrom(chunk);
  progress.passed(chunkOf("chat", chunk));
  return taken;
}

test("what the engine reports counts, and text after it by its bytes until the next report", () => {
  const progress = new OutputProgress(askForProgress("vllm", {}));
  expect(take(progress, data("word", { usage: { completion_tokens: 1 } }))).toBe(true);
  expect(progress.outputSoFar).toBe(1);
  expect(take(progress, data("nö"))).toBe(false);
  expect(progress.outputSoFar).toBe(1 + 3);
  expect(progress.reported).toBe(1);
  take(progress, data("rest", { usage: { completion_tokens: 3 } }));
  expect(progress.outputSoFar).toBe(3);
});

test("several answers are counted by themselves and summed, and a count never falls", () => {
  const progress = new OutputProgress(askForProgress("sglang", {}));
  take(progress, data("a", { usage: { completion_tokens: 5 } }, 0));
  take(progress, data("b", { usage: { completion_tokens: 2 } }, 1));
  take(progress, data("a", { usage: { completion_tokens: 4 } }, 0));
  expect(progress.reported).toBe(7);
});

test("the count that was asked for here is taken out, and one that the client asked for stays", () => {
  const body: Record<string, unknown> = { stream_options: { include_usage: true } };
  const ours = new OutputProgress(askForProgress("vllm", body));
  expect(body).toEqual({ stream_options: { include_usage: true, continuous_usage_stats: true } });
  const chunk = data("a", { usage: { completion_tokens: 1 } });
  expect(ours.takenFrom(chunk)).toBe(true);
  expect(chunk).toEqual(data("a"));
  const theirs = new OutputProgress(askForProgress("vllm", { stream_options: { continuous_usage_stats: true } }));
  expect(theirs.takenFrom(data("a", { usage: { completion_tokens: 1 } }))).toBe(false);
  expect(theirs.reported).toBe(1);
});

test("the report at the end of a stream is left as it is", () => {
  const progress = new OutputProgress(askForProgress("vllm", {}));
  expect(progress.takenFrom({ choices: [], usage: { completion_tokens: 9 } })).toBe(false);
});

test("llama.cpp counts in its timings, the embedded worker in comments, other software not at all", () => {
  const body: Record<string, unknown> = {};
  const llama = new OutputProgress(askForProgress("llamacpp", body));
  expect(body).toEqual({ timings_per_token: true });
  take(llama, data("a", { timings: { predicted_n: 3 } }));
  expect(llama.outputSoFar).toBe(3);
  const worker = new OutputProgress(undefined);
  worker.comment(" 17");
  expect(worker.outputSoFar).toBe(17);
  for (const text of ["", " ", "ping", " 1e999"]) worker.comment(text);
  expect(worker.outputSoFar).toBe(17);
  for (const software of ["ollama", "openai", "other"] as const) expect(askForProgress(software, {})).toBeUndefined();
});
