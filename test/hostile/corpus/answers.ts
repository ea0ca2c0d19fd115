// Answers of an engine that lies: endless, huge, of very many small parts.
import type { HostileInput } from "./types.ts";

const mib = 2 ** 20;
const asked = (
  name: string,
  [status, stream]: readonly [status: 200 | 502, stream: boolean],
  raw: () => { contentType?: string; body: string },
): HostileInput => ({
  name: `engine: ${name}`,
  method: "POST",
  path: "/v1/chat/completions",
  body: () => JSON.stringify({ model: "scripted", stream, messages: [{ role: "user", content: "hi" }] }),
  engine: () => ({ raw: raw() }),
  status,
});
const events = (body: string) => ({ contentType: "text/event-stream", body });
const chunk = (content: string) => `data: {"choices":[{"index":0,"delta":{"content":"${content}"}}]}\n\n`;

const whole = [502, false] as const;
const stream = [200, true] as const;
/** The first event is larger than the bound. Nothing was sent to the client by then, so the call can still fail with a status. */
const lateStream = [502, true] as const;

export const answerInputs: readonly HostileInput[] = [
  asked("whole answer of 60 MB of text", whole, () => ({
    body: `{"choices":[{"index":0,"message":{"role":"assistant","content":"${"a".repeat(60 * mib)}"},"finish_reason":"stop"}]}`,
  })),
  asked("whole answer of 30 MB of lists", whole, () => ({
    body: `{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"x":[[]${",[]".repeat(10 * mib)}]}`,
  })),
  asked("whole answer of a million choices", whole, () => ({
    body: `{"choices":[{"finish_reason":"stop"}${',{"finish_reason":"stop"}'.repeat(1_000_000)}]}`,
  })),
  asked("stream of one line of 15 MB", lateStream, () => events(chunk("a".repeat(15 * mib)))),
  asked("stream of one line of 40 MB", lateStream, () => events(chunk("a".repeat(40 * mib)))),
  asked("stream of one event of a million lines", lateStream, () => events(`${"data: a\n".repeat(1_000_000)}\n`)),
  asked("stream of a million comments", stream, () =>
    events(`${":\n".repeat(1_000_000)}${chunk("a")}data: [DONE]\n\n`),
  ),
  asked("stream of 100,000 chunks", stream, () => events(`${chunk("a").repeat(100_000)}data: [DONE]\n\n`)),
];
