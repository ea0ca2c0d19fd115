import { describe, expect, it } from "vitest";
import type { Verdict } from "./call.ts";
import type { AnswerForm } from "./grammars.ts";
import { type Delta, Reply } from "./reply.ts";

const text: AnswerForm = { grammar: undefined, onTrigger: undefined, validate: undefined, tools: false };
const auto: AnswerForm = { ...text, onTrigger: { trigger: "<tool_call>", grammar: "root ::= call" }, tools: true };

/** A reply to tokens that are words of a list; the tokenizer makes a token of each character. */
function replyTo(words: string[], form: AnswerForm | undefined, stops: string[] = []) {
  const deltas: Delta[] = [];
  const say = (tokens: readonly number[]) =>
    tokens.map((token) => (token >= 1000 ? String.fromCodePoint(token - 1000) : words[token])).join("");
  const reply = new Reply({
    detokenize: say,
    tokenize: (piece) => [...piece].map((char) => 1000 + char.codePointAt(0)!),
    stops,
    form,
    idFor: (index) => `id-${index}`,
    onDelta: (delta) => void deltas.push(delta),
  });
  const verdicts: Verdict[] = [];
  for (const token of words.keys()) {
    verdicts.push(reply.onToken(token));
    if (verdicts.at(-1)!.type === "stop") break;
  }
  return {
    reply,
    deltas,
    verdicts,
    said: () => deltas.map((delta) => (delta.type === "text" ? delta.text : "")).join(""),
  };
}

describe("a reply", () => {
  it("is the text of its tokens", () => {
    const { reply, said } = replyTo(["Hel", "lo", "!"], undefined);
    expect(reply.finish("stop")).toEqual({ finishReason: "stop", text: "Hello!", tokens: [0, 1, 2] });
    expect(said()).toBe("Hello!");
  });

  it("ends before a stop string, and knows which tokens it said", () => {
    const { reply, said, verdicts } = replyTo(["one", "\n", "\n", "two"], undefined, ["\n\n"]);
    expect(verdicts.map((verdict) => verdict.type)).toEqual(["go", "go", "stop"]);
    expect(reply.finish("stop")).toEqual({ finishReason: "stop", text: "one", tokens: [0] });
    expect(said()).toBe("one");
  });

  it("has no tokens of its own when it ends inside one", () => {
    const { reply } = replyTo(["abSTOPcd"], undefined, ["STOP"]);
    expect(reply.finish("stop")).toEqual({ finishReason: "stop", text: "ab", tokens: undefined });
  });

  it("passes on what was held back when the budget ends it", () => {
    const { reply, said } = replyTo(["wait ", "ST"], undefined, ["STOP"]);
    expect(reply.finish("length").text).toBe("wait ST");
    expect(said()).toBe("wait ST");
  });

  it("goes back to the last character of a call's tag, once, and drops what came with it", () => {
    const { verdicts, reply, deltas } = replyTo(["Sure", ". <tool", "_call>\n{bad", "x"], auto);
    expect(verdicts.map((verdict) => verdict.type)).toEqual(["go", "go", "rewind", "go"]);
    expect(verdicts[2]).toEqual({
      type: "rewind",
      keep: 2,
      tokens: [..."_call>"].map((char) => 1000 + char.codePointAt(0)!),
      grammar: "root ::= call",
    });
    // "x" is no call: what looked like one is text, and the dropped "\n{bad" is not in it.
    expect(reply.finish("length")).toMatchObject({ finishReason: "length", text: "Sure. <tool_call>x" });
    expect(deltas.map((delta) => (delta.type === "text" ? delta.text : "")).join("")).toBe("Sure. <tool_call>x");
  });

  it("reads calls, and says so in the end", () => {
    const { reply, deltas } = replyTo(['<tool_call>\n{"name": "f", "arguments": {"a": ', "1}}\n</tool_call>"], {
      ...text,
      tools: true,
    });
    expect(reply.finish("stop").finishReason).toBe("tool_calls");
    expect(deltas[0]).toEqual({ type: "call_start", index: 0, id: "id-0", name: "f" });
    expect(deltas.map((delta) => (delta.type === "call_arguments" ? delta.text : "")).join("")).toBe('{"a": 1}');
  });

  it("fails when a finished answer is not what was promised, and not when its budget ended it", () => {
    const form = { ...text, validate: () => "it is wrong" };
    expect(() => replyTo(["{}"], form).reply.finish("stop")).toThrow(/it is wrong/);
    expect(replyTo(["{}"], form).reply.finish("length").finishReason).toBe("length");
  });
});
