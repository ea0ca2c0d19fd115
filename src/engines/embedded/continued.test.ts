// Answers that a worker goes on with (`continue_final_message`), by the real worker with the real small model. An answer is cut at the
// borders of its stream, as a broken connection cuts it, and each rest is asked for as if another worker had begun the answer: under a
// cache salt of its own there is neither state nor a remembered text.
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type TestWorker, startTestWorker } from "./testing.ts";

// A long limit, because no test here depends on time and the machine may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

let worker: TestWorker;
let attempts = 0;

beforeAll(async () => {
  worker = await startTestWorker({ slots: 2, contextTokens: 512 });
});
afterAll(async () => {
  await worker.stop();
});

const hints = () => ({ attempt: `t${++attempts}`, cacheSalt: `salt${attempts}`, project: "p1" });
const greedy = { temperature: 0 };

/** The pieces of an answer's text. */
async function pieces(body: Record<string, unknown>): Promise<string[]> {
  const texts: string[] = [];
  for await (const chunk of worker.stream({ ...greedy, ...body, lineshaft: hints() })) {
    const text = chunk.choices[0]?.delta.content as string | undefined;
    if (text) texts.push(text);
  }
  return texts;
}

/** Questions, and the pieces after which their answers are cut. */
const cuts: [string, number[]][] = [
  ["Name three metals and what each is used for.", [1, 9, 20]],
  ["Write a Python function that reverses a list.", [4, 12, 21]],
  ["Schreibe drei Sätze über den Rhein.", [3, 11]],
];

test("the rest of an answer is what it would have been", async () => {
  const tipped: string[] = [];
  for (const [question, places] of cuts) {
    const messages = [{ role: "user", content: question }];
    const all = await pieces({ messages, max_tokens: 32 });
    for (const place of places) {
      // The gateway gives no white space at the end: the model writes it again.
      const begun = all.slice(0, place).join("").trimEnd();
      const going = [...messages, { role: "assistant", content: begun }];
      const rest = await pieces({ messages: going, continue_final_message: true, max_tokens: 8 });
      expect(rest.join("").length).toBeGreaterThan(4);
      if (!all.join("").startsWith(begun + rest.join(""))) tipped.push(begun + rest.join(""));
    }
  }
  // A prompt that is computed in one go rounds differently, and another processor's rounding may tip a near-tie. A wrong beginning (an end
  // of turn, a lost space) changes every rest.
  expect(tipped.length, tipped.join("\n")).toBeLessThan(3);
});

test("the prompt that is counted and billed has the beginning of the answer, and no end of turn", async () => {
  const messages = [{ role: "user", content: "Count to five." }];
  const going = [...messages, { role: "assistant", content: "One, two," }];
  const count = async (body: object) =>
    (await (await worker.post("/tokenize", body)).json()) as { count: number; tokens: number[] };
  const fresh = await count({ messages });
  const begun = await count({ messages: going, continue_final_message: true });
  const text = await count({ prompt: "One, two," });
  expect(begun.tokens).toEqual([...fresh.tokens, ...text.tokens]);
  const body = { messages: going, continue_final_message: true, max_tokens: 4, ...greedy, lineshaft: hints() };
  const answer = await worker.chat(body);
  expect(answer.usage.prompt_tokens).toBe(begun.count);
  expect(answer.choices[0]!.message.content).toMatch(/^ three,/);
  // Without the field it is a whole turn, and another begins behind it.
  const turn = await count({ messages: going });
  expect(turn.tokens.length).toBeGreaterThan(begun.count);
});

test("a beginning that is cut at the border of a token has the tokens in which it was written", async () => {
  const messages = [{ role: "user", content: cuts[0]![0] }];
  const all = await pieces({ messages, max_tokens: 32 });
  const count = async (content: string) => {
    const body = { messages: [...messages, { role: "assistant", content }], continue_final_message: true };
    return ((await (await worker.post("/tokenize", body)).json()) as { count: number }).count;
  };
  const none = await count("");
  for (let place = 1; place <= all.length; place++) {
    const begun = all.slice(0, place).join("");
    // Each piece of this answer is one token.
    if (begun === begun.trimEnd()) expect([begun, (await count(begun)) - none]).toEqual([begun, place]);
  }
});

test("a last message is a whole turn where the prompt begins no other, too", async () => {
  const messages = [
    { role: "user", content: "hi" },
    { role: "assistant", content: "Hello." },
  ];
  const count = async (more: object) =>
    ((await (await worker.post("/tokenize", { messages, ...more })).json()) as { tokens: number[] }).tokens;
  const [open, closed] = [await count({}), await count({ add_generation_prompt: false })];
  expect(open.slice(0, closed.length)).toEqual(closed);
  expect(open.length).toBeGreaterThan(closed.length);
});

test("what cannot be gone on with is refused by name", async () => {
  const response = await worker.post("/v1/chat/completions", {
    messages: [{ role: "user", content: "x" }],
    continue_final_message: true,
  });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { param: "continue_final_message" } });
});
