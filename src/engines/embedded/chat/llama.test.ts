// The grammars in llama.cpp itself: it must parse each, accept the same texts as our reader, and enforce the grammar on a real model.
import { existsSync } from "node:fs";
import { getLlama, LlamaGrammar, LlamaGrammarEvaluationState, type Llama, type Token } from "node-llama-cpp";
import { beforeAll, describe, expect, it } from "vitest";
import { spacedJson } from "./json.ts";
import { compileSchema, jsonObjectGrammar } from "./schema.ts";
import { oracleOf } from "./testing/oracle.ts";
import { derive, readGrammar, seeded } from "./testing/gbnf.ts";
import { schemaCases } from "./testing/schemas.ts";
import { toolGrammar } from "./tools.ts";

let llama: Llama;

beforeAll(async () => {
  llama = await getLlama({ build: "never", gpu: false, progressLogs: false });
});

function accepts(gbnf: string, text: string): boolean {
  return (new LlamaGrammar(llama, { grammar: gbnf }) as unknown as { _testText(text: string): boolean })._testText(
    text,
  );
}

describe("llama.cpp", () => {
  it.each(schemaCases)("reads the grammar of: $name", ({ schema, valid, invalid }) => {
    const gbnf = compileSchema(schema);
    for (const value of valid) expect(accepts(gbnf, spacedJson(value)), spacedJson(value)).toBe(true);
    for (const value of invalid) expect(accepts(gbnf, spacedJson(value)), spacedJson(value)).toBe(false);
    const random = seeded(5);
    const grammar = readGrammar(gbnf);
    for (let count = 0; count < 10; count++) {
      const text = derive(grammar, random);
      expect(accepts(gbnf, text), text).toBe(true);
    }
  });

  it("reads json_object and tool grammars", () => {
    expect(accepts(jsonObjectGrammar(), '{"a": [1, null]}')).toBe(true);
    const tools = [
      {
        type: "function" as const,
        function: {
          name: "open",
          parameters: { type: "object", properties: { mode: { enum: ["A"] } }, required: ["mode"] },
        },
      },
    ];
    const call = '{"name": "open", "arguments": {"mode": "A"}}\n</tool_call>';
    expect(accepts(toolGrammar(tools, "required")!.gbnf, `<tool_call>\n${call}\n<tool_call>\n${call}`)).toBe(true);
    expect(accepts(toolGrammar(tools, "auto", { parallel: false })!.gbnf, `\n${call}`)).toBe(true);
    expect(accepts(toolGrammar(tools, "auto", { parallel: false })!.gbnf, `\n${call}\n<tool_call>\n${call}`)).toBe(
      false,
    );
  });
});

const modelPath = process.env["LINESHAFT_MODEL"];
const generated = [
  "zod nullable",
  "zod discriminated union",
  "zod date",
  "zod int range",
  "Pydantic Optional with a default",
  "OpenAI strict mode",
];

describe.runIf(modelPath !== undefined && existsSync(modelPath))("a real model (LINESHAFT_MODEL)", () => {
  it("writes values that are valid", async () => {
    const model = await llama.loadModel({ modelPath: modelPath!, gpuLayers: 0 });
    const context = await model.createContext({ contextSize: 512, threads: 1 });
    const sequence = context.getSequence();
    for (const name of generated) {
      const { schema } = schemaCases.find((own) => own.name === name)!;
      const gbnf = compileSchema(schema);
      await sequence.clearHistory();
      const grammarEvaluationState = new LlamaGrammarEvaluationState({
        model,
        grammar: new LlamaGrammar(llama, { grammar: gbnf }),
      });
      const tokens: Token[] = [];
      const prompt = model.tokenize("<|im_start|>user\nAnswer in short JSON.<|im_end|>\n<|im_start|>assistant\n", true);
      for await (const token of sequence.evaluate(prompt, {
        temperature: 0,
        grammarEvaluationState,
        repeatPenalty: { punishTokens: () => tokens, penalty: 1.3 },
      })) {
        if (model.isEogToken(token) || tokens.length >= 300) break;
        tokens.push(token);
      }
      const text = model.detokenize(tokens);
      // After a complete value the grammar allows only the end.
      expect(tokens.length, `${name}: ${text}`).toBeLessThan(300);
      expect(oracleOf(schema)(JSON.parse(text)), `${name}: ${text}`).toBeNull();
    }
    await model.dispose();
  });
});
