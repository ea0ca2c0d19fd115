// What clients are sent while their prompt is computed.
import { expect, test } from "vitest";
import { limits } from "../limits.ts";
import { testGateway } from "../testing.ts";
import { WaitingStreams } from "./waiting.ts";

test("a stream gets its head when it was quiet for so long, a line at every beat, and nothing once its answer begins", () => {
  let now = 0;
  const streams = new WaitingStreams(() => now);
  const written: boolean[] = [];
  const answered = streams.open((begins) => void written.push(begins));
  const quick = streams.open(() => written.push(false));
  expect(quick()).toBe(false);
  for (now of [limits.quietMs - 1, limits.quietMs, limits.quietMs + 1, limits.quietMs + limits.beatMs]) streams.tick();
  expect(written).toEqual([true, false]);
  expect(answered()).toBe(true);
  now += 10 * limits.beatMs;
  streams.tick();
  expect(written).toHaveLength(2);
});

const usual = { ...limits };
const changed = limits as { quietMs: number; beatMs: number; waitingTickMs: number };

test.each<[path: string, body: object, line: string]>([
  ["/v1/chat/completions", { messages: [{ role: "user", content: "hi" }] }, ": waiting"],
  ["/v1/messages", { max_tokens: 9, messages: [{ role: "user", content: "hi" }] }, "event: ping"],
  ["/v1/responses", { input: "hi" }, ": waiting"],
])("bytes flow at %s before the first token, and what fails then is an event", async (path, body, line) => {
  Object.assign(changed, { quietMs: 5, beatMs: 5, waitingTickMs: 2 });
  try {
    await using at = await testGateway();
    const send = () =>
      fetch(at.address + path, {
        method: "POST",
        headers: { authorization: `Bearer ${at.key}`, "content-type": "application/json" },
        body: JSON.stringify({ model: "scripted", stream: true, ...body }),
      });
    for (const fails of [false, true]) {
      const { promise: begins, resolve } = Promise.withResolvers<void>();
      at.engine.next(fails ? { wait: begins, fail: { status: 400 } } : { wait: begins, chunks: ["Hello"] });
      const response = await send();
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toContain("text/event-stream");
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      expect((await reader.read()).value).toContain(line);
      resolve();
      let text = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
      if (fails) expect(text).toContain("error");
      else expect(text).toContain("x-lineshaft-engine: scripted");
      if (!fails) expect(text).toContain("Hello");
    }
  } finally {
    Object.assign(changed, usual);
  }
});
