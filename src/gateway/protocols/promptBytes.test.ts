// What the prefix index is told of a prompt that came as bytes.
import { expect, test } from "vitest";
import { JsonMeter, Pieces } from "../../bounded/index.ts";
import { chat } from "./chat/index.ts";
import { completions } from "./completions/index.ts";
import { gemini } from "./gemini/index.ts";
import { messages } from "./messages/index.ts";
import { responses } from "./responses/index.ts";
import type { Protocol } from "./types.ts";

const bounds = { depth: 100, values: Infinity, numbers: Infinity };

/** The prompt's bytes as text, of a body that came in pieces of so many bytes. */
function promptOf(protocol: Protocol, json: string, piece = json.length): string | undefined {
  const bytes = Buffer.from(json);
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += piece) pieces.push(bytes.subarray(at, at + piece));
  const meter = new JsonMeter(bounds, true);
  meter.push(bytes);
  const [route] = protocol.calls;
  const call = protocol.decode({
    route: route!,
    model: "m",
    path: route!.path,
    query: new URLSearchParams(),
    headers: {},
    json: JSON.parse(json),
    bytes: new Pieces(pieces),
    members: meter.members,
  });
  const prompt = call.promptBytes();
  return prompt && Buffer.concat(prompt).toString("utf8");
}

const said = (role: string, content: string) => ({ role, content });
const turns = [said("user", "One [1]"), said("assistant", "Two"), said("user", "Three")];
const toolOf = (name: string) => ({ type: "function", name, parameters: {} });

/** A body of so many turns; `more` stands beside the prompt. */
const growing: [string, Protocol, (turns: number, more?: object) => object][] = [
  [
    "chat",
    chat,
    (most, more) => ({
      model: "m",
      ...more,
      messages: turns.slice(0, most),
      tools: [{ type: "function", function: { name: "f" } }],
    }),
  ],
  [
    "messages",
    messages,
    (most, more) => ({
      model: "m",
      max_tokens: 9,
      messages: turns.slice(0, most),
      system: "S",
      tools: [{ name: "f" }],
      ...more,
    }),
  ],
  [
    "responses",
    responses,
    (most, more) => ({ ...more, model: "m", input: turns.slice(0, most), instructions: "S", tools: [toolOf("f")] }),
  ],
  [
    "gemini",
    gemini,
    (most) => ({
      contents: turns
        .slice(0, most)
        .map(({ content }, place) => ({ role: place % 2 ? "model" : "user", parts: [{ text: content }] })),
      systemInstruction: { parts: [{ text: "S" }] },
      tools: [{ functionDeclarations: [{ name: "f" }] }],
    }),
  ],
];

test.each(growing)("%s: a conversation that grows begins with the bytes that it had", (_name, protocol, bodyOf) => {
  const before = promptOf(protocol, JSON.stringify(bodyOf(1)))!;
  const after = promptOf(protocol, JSON.stringify(bodyOf(3)))!;
  expect(before).toContain("One [1]");
  expect(after.startsWith(before)).toBe(true);
  expect(after.length).toBeGreaterThan(before.length + 20);
  // Tools come first, because engines render them first.
  expect(before.indexOf('"f"')).toBeLessThan(before.indexOf("One"));
});

test.each(growing)(
  "%s: neither what stands beside the prompt nor how the body was cut changes it",
  (_name, protocol, bodyOf) => {
    const [plain, other] = [bodyOf(3), bodyOf(3, { temperature: 0.5, stream: true })];
    const prompt = promptOf(protocol, JSON.stringify(plain))!;
    expect(promptOf(protocol, JSON.stringify(other))).toBe(prompt);
    for (const piece of [1, 7, 50]) expect(promptOf(protocol, JSON.stringify(plain), piece)).toBe(prompt);
  },
);

test("white space around the end of the conversation is no part of it", () => {
  const body = '{"model":"m","messages":[{"role":"user","content":"]"} \n ] }';
  expect(promptOf(chat, body)).toBe('[{"role":"user","content":"]"}');
});

test("a prompt that is not all in the body, or can be read in two ways, has no bytes", () => {
  expect(promptOf(completions, '{"model":"m","prompt":"text"}')).toBe('"text"');
  expect(promptOf(completions, '{"model":"m","prompt":[1,2]}')).toBe("[1,2");
  expect(promptOf(completions, '{"model":"m","prompt":["a","b"]}')).toBeUndefined();
  expect(promptOf(chat, '{"model":"m","messages":[],"messages":[{"role":"user","content":"x"}]}')).toBeUndefined();
});
