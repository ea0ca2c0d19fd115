// What is priced is what is sent, byte for byte: names given twice, names in escapes, names of prototypes, in small bodies and in
// large ones that leave as the bytes that came.
import fc from "fast-check";
import { expect, test } from "vitest";
import { rows, testGateway } from "../../src/api/testing.ts";
import { runs } from "../setup/runs.ts";

const long = "word ".repeat(5_000);
const escaped = (name: string) =>
  `"${name.slice(0, 3)}\\u${name.charCodeAt(3).toString(16).padStart(4, "0")}${name.slice(4)}"`;
const spelled = (name: string) => fc.constantFrom(JSON.stringify(name), escaped(name));

/** Members of a body as text, so that a name can stand twice. */
const member = fc.oneof(
  fc.tuple(spelled("max_tokens"), fc.constantFrom("1", "7", "1e2", "900", "null")).map((pair) => pair.join(":")),
  fc.tuple(spelled("max_completion_tokens"), fc.constantFrom("1", "7", "900")).map((pair) => pair.join(":")),
  fc.tuple(spelled("model"), fc.constantFrom('"scripted"', '"dear"')).map((pair) => pair.join(":")),
  fc.constantFrom('"n":1', '"n":2', '"n":3', '"n_predict":9', '"Max_Tokens":9', '"seed":9007199254740993'),
  fc.constantFrom('"__proto__":{"max_tokens":9}', '"constructor":{"a":1}', '"user":"a"', '"stop":"a","stop":"b"'),
);
const content = fc.constantFrom(
  '"hi"',
  JSON.stringify(long),
  `"one","content":${JSON.stringify(long)}`,
  `${JSON.stringify(long)},"content":"two"`,
  `[{"type":"text","text":"a","text":${JSON.stringify(long)}}]`,
  `[{"type":"text","text":"a"},{"type":"text","text":${JSON.stringify(long)},"__proto__":{"x":1}}]`,
);

/** Names of members in JSON text, at any depth, beside the keys of what is parsed from it: equal where no name stands twice. */
function namesAndKeys(text: string): [number, number] {
  const names = text.replaceAll(/"(?:[^"\\\\]|\\\\.)*"/g, "s").split(":").length - 1;
  let keys = 0;
  JSON.parse(text, function (this: unknown, key, value: unknown) {
    if (key !== "" && !Array.isArray(this)) keys++;
    return value;
  });
  return [names, keys];
}

test("whatever is written twice, escaped or inherited: one limit, one model, each name once, and the hold is their price", async () => {
  await using at = await testGateway();
  let checked = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(member, { maxLength: 4 }), content, async (members, said) => {
      const before = at.engine.seen.length;
      const text = `{${['"model":"scripted"', `"messages":[{"role":"user","content":${said}}]`, ...members].join(",")}}`;
      const response = await at.request("/v1/chat/completions", { method: "POST", body: text });
      if (response.status !== 200) {
        expect(at.engine.seen).toHaveLength(before);
        return;
      }
      checked++;
      const sent = at.engine.seen.at(-1)!;
      const [names, keys] = namesAndKeys(sent.text);
      expect(names).toBe(keys);
      expect(Object.keys(sent.body).filter((name) => /max|predict/i.test(name))).toEqual(["max_tokens"]);
      const parsed = JSON.parse(text) as { model: string; messages: unknown; n?: number; max_tokens?: number };
      expect(sent.body).toMatchObject({ model: "scripted", messages: parsed.messages });
      const { settlements } = await rows(at);
      const hold = settlements.toSorted((a, b) => Number(b["created_at"]) - Number(a["created_at"]))[0]!;
      const answers = parsed.n ?? 1;
      const output = BigInt((sent.body["max_tokens"] as number) * answers * 7);
      const prompt = (hold["held_nano"] as bigint) - output;
      const bytes = Buffer.byteLength(JSON.stringify(parsed.messages));
      // The prompt at 3 nano a token: at least its bytes, at most those of the request and the templates' share.
      expect(prompt >= BigInt(Math.min(bytes, 2) * 3 * answers)).toBe(true);
      expect(prompt <= BigInt((text.length + 544 + 32) * 3 * answers)).toBe(true);
    }),
    { numRuns: runs(60), seed: 4070 },
  );
  expect(checked).toBeGreaterThan(5);
});
