import { describe, expect, it } from "vitest";
import type { Verdict } from "./call.ts";
import type { AnswerForm } from "./grammars.ts";
import { type Delta, Reply } from "./reply.ts";

const text: AnswerForm = {
  grammar: undefined,
  onTrigger: undefined,
  json: false,
  tools: false,
  showsForm: false,
};
const calling: AnswerForm = { ...text, tools: true, showsForm: true };
const auto: AnswerForm = { ...calling, onTrigger: { trigger: "<tool_call>", grammar: "root ::= call" } };

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
    turnMarkers: ["<|im_end|>"],
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
    expect(verdicts.map((verdict) => verdict.type)).toEqual(["go", "go", "rewind", "stop"]);
    expect(verdicts[2]).toEqual({
      type: "rewind",
      keep: 2,
      tokens: [..."_call>"].map((char) => 1000 + char.codePointAt(0)!),
      grammar: "root ::= call",
    });
    // "x" is not a call, and neither it nor the dropped "\n{bad" is text.
    expect(reply.finish("length")).toMatchObject({ finishReason: "length", text: "Sure. <tool_call>x" });
    expect(deltas.map((delta) => (delta.type === "text" ? delta.text : "")).join("")).toBe("Sure. ");
  });

  it("reads calls, and says so in the end", () => {
    const { reply, deltas } = replyTo(['<tool_call>\n{"name": "f", "arguments": {"a": ', "1}}\n</tool_call>"], calling);
    expect(reply.finish("stop").finishReason).toBe("tool_calls");
    expect(deltas).toEqual([{ type: "call", index: 0, id: "id-0", name: "f", arguments: '{"a": 1}' }]);
  });

  const called = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>';

  it("shows nothing of a call that its budget cuts off, whichever character is the last", () => {
    const written = `Sure.\n${called}`;
    for (let end = "Sure.".length; end < written.length; end++) {
      const { reply, deltas, said } = replyTo([...written.slice(0, end)], calling);
      expect(reply.finish("length").finishReason).toBe("length");
      expect(said().trimEnd()).toBe("Sure.");
      // Arguments that are complete make a call; their frame need not be closed.
      const whole = end >= written.lastIndexOf("}}") + 1;
      expect(deltas.filter((delta) => delta.type === "call")).toHaveLength(whole ? 1 : 0);
    }
  });

  it("stops with a call that repeats an earlier one, and with a turn marker that is written out", () => {
    const repeated = replyTo([called, `\n${called}`, "\nmore"], calling);
    expect(repeated.verdicts.map((verdict) => verdict.type)).toEqual(["go", "stop"]);
    expect(repeated.reply.finish("stop").finishReason).toBe("tool_calls");
    expect(repeated.deltas).toHaveLength(1);
    const spelled = replyTo(["Gold", ".<|im_", "end|>\n", "more"], text);
    expect(spelled.verdicts.map((verdict) => verdict.type)).toEqual(["go", "go", "stop"]);
    expect(spelled.reply.finish("stop").finishReason).toBe("stop");
    expect(spelled.said()).toBe("Gold.");
  });

  it("is JSON as a whole where a schema's form allows calls too, tags in its strings included", () => {
    const form = { ...calling, json: true };
    const { reply, said } = replyTo(['{"a": "<tool_', 'call></tool_call>"}'], form);
    reply.finish("stop");
    expect(said()).toBe('{"a": "<tool_call></tool_call>"}');
  });

  it("of a completion is passed on as it is", () => {
    const { reply, said } = replyTo(["a<|im_end|>", "<tool_call>"], undefined);
    reply.finish("length");
    expect(said()).toBe("a<|im_end|><tool_call>");
  });
});
