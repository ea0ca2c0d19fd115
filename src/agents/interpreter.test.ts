// The state machine as a table: what has happened, and what comes next.
import { expect, test } from "vitest";
import { next } from "./interpreter.ts";
import { checksOf } from "./validation.ts";
import { stateOf } from "./testing/states.ts";
import type { RunState } from "./types.ts";

const check = checksOf("org");
const plant = (allow: Record<string, unknown>) => [{ server: "plant", url: "http://127.0.0.1:1/mcp", allow }];
const verifier = { id: "v", version: "1", file: "v.js" };
const decision = { type: "object", properties: { mode: { enum: ["a", "b"] } }, required: ["mode"] };

const declared = {
  output: decision,
  tools: plant({ read: { effect: false }, act: { effect: true, accepts_key: true, lookup: "find" } }),
  steps: [
    { id: "look", tool: "read", with: { machine: "${input.machine}" } },
    { id: "judge", decide: "Report: ${steps.look.output.report}" },
    { id: "pause", wait: 60 },
    { id: "do", tool: "act", with: { machine: "${steps.judge.output.mode}" } },
  ],
  result: { done: "${steps.do.output}" },
  outcome: { contract: "c", verifier, evidence: { order: "${steps.do.output}" }, price: "1" },
};
const looked = { kind: "tool", name: "look", output: { report: "Hot." } } as const;
const judged = { kind: "model", name: "judge", output: { content: '{"mode":"a"}', value: { mode: "a" } } } as const;
const paused = { kind: "wait", name: "pause", output: {} } as const;
const did = { kind: "tool", name: "do", output: { number: 7 } } as const;
/** What the tool's system says of the effect, which is not what the tool said. */
const kept = { kind: "tool", name: "find", output: { number: 8 } } as const;
const verified = { kind: "verify", name: "c", output: { verdict: "passed" } } as const;

const loop = { tools: plant({ read: { effect: false } }) };
const soldLoop = { tools: declared.tools, outcome: { ...declared.outcome, evidence: { asked: "${input}" } } };
const acted = { ...did, name: "act" };
const calls = (...names: string[]) => ({
  kind: "model" as const,
  name: "think",
  output: {
    content: null,
    tool_calls: names.map((name, index) => ({ id: `c${index}`, name, arguments: '{"machine":"M-1"}' })),
  },
});
const answered = (content: string) => ({ kind: "model" as const, name: "think", output: { content } });

test.each<[string, RunState, object]>([
  [
    "a program begins with its first step",
    stateOf(declared),
    { type: "tool", name: "look", arguments: { machine: "M-1" }, failure: "ends" },
  ],
  [
    "a decision asks with the resolved text",
    stateOf(declared, [looked]),
    { type: "model", name: "judge", asked: "Report: Hot.", schema: decision },
  ],
  ["a wait is a step", stateOf(declared, [looked, judged]), { type: "wait", seconds: 60 }],
  [
    "a decision's value is mapped into arguments",
    stateOf(declared, [looked, judged, paused]),
    { type: "tool", name: "do", arguments: { machine: "a" }, decidedBy: { step: 3, ordinal: 0 } },
  ],
  [
    "then the system of an effect in the evidence is asked what it keeps",
    stateOf(declared, [looked, judged, paused, did]),
    { type: "lookup", name: "find", tool: { name: "act" }, decidedBy: { step: 3, ordinal: 0 } },
  ],
  [
    "then the evidence is judged, as the system keeps it",
    stateOf(declared, [looked, judged, paused, did, kept]),
    { type: "verify", name: "c", evidence: { order: { number: 8 } } },
  ],
  [
    "once",
    stateOf(declared, [looked, judged, paused, did, kept, verified]),
    { type: "finish", output: { done: { number: 7 } } },
  ],
  [
    "a failed step ends a program",
    stateOf(declared, [{ ...looked, status: "failed", errorMessage: "broken" }]),
    { type: "fail", code: "step_failed" },
  ],
  [
    "a reference that leads nowhere ends it",
    stateOf(declared, [{ ...looked, output: {} }]),
    { type: "fail", code: "reference_unresolved" },
  ],
  [
    "arguments must fit the tool",
    stateOf(declared, [], { input: { machine: 3 } }),
    { type: "fail", code: "arguments_invalid" },
  ],
  [
    "steps are limited",
    stateOf({ ...declared, limits: { steps: 1 } }, [looked]),
    { type: "fail", code: "limit_steps" },
  ],
  [
    "tokens are limited",
    stateOf({ ...declared, limits: { tokens: 100 } }, [looked], { tokensUsed: 100 }),
    { type: "fail", code: "limit_tokens" },
  ],
  [
    "a call gets no more than is left",
    stateOf({ ...declared, limits: { tokens: 100 } }, [looked], { tokensUsed: 90 }),
    { type: "model", maxTokens: 10 },
  ],
  [
    "limits do not take what is done already",
    stateOf({ ...declared, outcome: undefined, limits: { steps: 4 } }, [looked, judged, paused, did]),
    { type: "finish" },
  ],

  [
    "the free loop asks the model with its tools",
    stateOf(loop),
    { type: "model", name: "think", asked: { machine: "M-1" } },
  ],
  [
    "and calls what it chose",
    stateOf(loop, [calls("read")]),
    { type: "tool", name: "read", decidedBy: { step: 0, ordinal: 0 }, failure: "told" },
  ],
  [
    "one after the other",
    stateOf(loop, [calls("read", "read"), looked]),
    { type: "tool", decidedBy: { step: 0, ordinal: 1 } },
  ],
  ["then asks again", stateOf(loop, [calls("read"), looked]), { type: "model", name: "think" }],
  [
    "an unknown tool is refused, the model is told",
    stateOf(loop, [calls("format_disk")]),
    { type: "refuse", message: expect.stringContaining("read") },
  ],
  [
    "so are arguments that do not fit",
    stateOf(loop, [
      {
        ...calls("read"),
        output: { content: null, tool_calls: [{ id: "c", name: "read", arguments: '{"machine":3}' }] },
      },
    ]),
    { type: "refuse" },
  ],
  [
    "and arguments that are no JSON",
    stateOf(loop, [
      { ...calls("read"), output: { content: null, tool_calls: [{ id: "c", name: "read", arguments: "{" }] } },
    ]),
    { type: "refuse" },
  ],
  [
    "a tool's failure does not end the loop",
    stateOf(loop, [calls("read"), { ...looked, status: "failed", errorMessage: "no" }]),
    { type: "model" },
  ],
  ["an answer ends it", stateOf(loop, [answered("All is well.")]), { type: "finish", output: "All is well." }],
  [
    "an answer in the output's shape is parsed",
    stateOf({ ...loop, output: decision }, [answered('{"mode":"b"}')]),
    { type: "finish", output: { mode: "b" } },
  ],
  [
    "another is asked for once more, in that shape",
    stateOf({ ...loop, output: decision }, [answered("It is b.")]),
    { type: "model", name: "answer", schema: decision },
  ],
  [
    "and no third time",
    stateOf({ ...loop, output: decision }, [{ ...answered("It is b."), name: "answer" }]),
    { type: "fail", code: "decision_invalid" },
  ],
  [
    "without tools the shape is asked for at once",
    stateOf({ output: decision }),
    { type: "model", name: "answer", schema: decision },
  ],
  [
    "the loop is limited",
    stateOf({ ...loop, limits: { steps: 2 } }, [calls("read"), looked]),
    { type: "fail", code: "limit_steps" },
  ],
  [
    "a loop's effects are asked for before its outcome, in the order of their happening",
    stateOf(soldLoop, [calls("read", "act"), looked, acted, calls("act"), acted, answered("Done."), kept]),
    { type: "lookup", name: "find", decidedBy: { step: 3, ordinal: 0 } },
  ],
  [
    "a loop's outcome is judged by what the effects' systems keep, and by no tool's answer",
    stateOf(soldLoop, [calls("read", "act"), looked, acted, answered("Done."), kept]),
    { type: "verify", evidence: { asked: { machine: "M-1" }, tools: [{ tool: "act", output: { number: 8 } }] } },
  ],
  [
    "a version of before shows what the tools answered",
    {
      ...stateOf(soldLoop, [calls("act"), acted, answered("Done.")]),
      published: { ...stateOf(soldLoop).published, evidence: undefined } as never,
    },
    { type: "verify", evidence: { tools: [{ tool: "act", output: { number: 7 } }] } },
  ],
])("%s", async (_what, state, action) => {
  expect(await next(state, check)).toMatchObject(action);
});

test("the same state always makes the same action", async () => {
  const state = stateOf(loop, [calls("read"), looked]);
  expect(await next(structuredClone(state), check)).toEqual(await next(state, check));
});

test("a conversation only ever grows: every call's messages begin with those of the call before", async () => {
  const messagesAfter = async (...steps: Parameters<typeof stateOf>[1] & {}) => {
    const action = await next(stateOf({ ...loop, examples: [{ input: "q", output: "a" }] }, steps), check);
    return action.type === "model" ? action.messages : [];
  };
  const first = await messagesAfter();
  const second = await messagesAfter(calls("read"), looked);
  expect(second.slice(0, first.length)).toEqual(first);
  expect(second.slice(first.length)).toMatchObject([
    { role: "assistant", parts: [{ kind: "tool_call", id: "c0" }] },
    {
      role: "user",
      parts: [{ kind: "tool_result", id: "c0", parts: [{ kind: "text", text: '{"report": "Hot."}' }] }],
    },
  ]);
});
