// The body of a Gemini call, as it is judged and as /api/openapi.json describes it. Google's API takes each name in two spellings
// (toolConfig, tool_config); `spelled` makes them one before anything is read.
import { z } from "@hono/zod-openapi";

const part = z.looseObject({
  text: z.string().nullish(),
  thought: z.boolean().nullish(),
  thoughtSignature: z.string().nullish(),
  inlineData: z.looseObject({ mimeType: z.string(), data: z.string() }).nullish(),
  fileData: z.looseObject({ fileUri: z.string(), mimeType: z.string().nullish() }).nullish(),
  functionCall: z
    .looseObject({ name: z.string(), id: z.string().nullish(), args: z.record(z.string(), z.unknown()).nullish() })
    .nullish(),
  functionResponse: z
    .looseObject({
      name: z.string(),
      id: z.string().nullish(),
      response: z.record(z.string(), z.unknown()).nullish(),
      parts: z.array(z.looseObject({})).nullish(),
    })
    .nullish(),
});

const content = z.looseObject({
  role: z.enum(["user", "model", "function", "system"]).nullish(),
  parts: z.array(part),
});
const instruction = z.union([content, z.looseObject({ parts: part })]);

const declaration = z.looseObject({
  name: z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$/),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  parametersJsonSchema: z.record(z.string(), z.unknown()).nullish(),
});

const thinkingConfig = z.looseObject({
  includeThoughts: z.boolean().nullish(),
  thinkingBudget: z.number().int().min(-1).nullish(),
  thinkingLevel: z.string().nullish(),
});

const generationConfig = z.looseObject({
  temperature: z.number().min(0).max(2).nullish(),
  topP: z.number().min(0).max(1).nullish(),
  topK: z.number().min(0).nullish(),
  seed: z.number().int().nullish(),
  maxOutputTokens: z.number().int().min(1).nullish(),
  candidateCount: z.number().int().min(1).nullish(),
  stopSequences: z.array(z.string()).max(16).nullish(),
  presencePenalty: z.number().min(-2).max(2).nullish(),
  frequencyPenalty: z.number().min(-2).max(2).nullish(),
  responseMimeType: z.string().nullish(),
  responseSchema: z.record(z.string(), z.unknown()).nullish(),
  responseJsonSchema: z.record(z.string(), z.unknown()).nullish(),
  thinkingConfig: thinkingConfig.nullish(),
});

/** Fields of a prompt, which a call and a count have in common. */
const prompt = {
  contents: z.array(content).min(1),
  systemInstruction: instruction.nullish(),
  tools: z
    .array(z.looseObject({ functionDeclarations: z.array(declaration).max(512).nullish() }))
    .max(128)
    .nullish(),
  toolConfig: z
    .looseObject({
      functionCallingConfig: z
        .looseObject({ mode: z.string().nullish(), allowedFunctionNames: z.array(z.string()).nullish() })
        .nullish(),
    })
    .nullish(),
  generationConfig: generationConfig.nullish(),
};

export const geminiBody = z.looseObject(prompt).openapi("GenerateContentRequest");
export const geminiCountBody = z.looseObject(prompt).openapi("CountTokensRequest");

/** Members whose own members are names of the client: they are not spelled anew. */
const ofClient = new Set([
  "args",
  "response",
  "parameters",
  "parametersJsonSchema",
  "responseSchema",
  "responseJsonSchema",
]);

const camel = (name: string): string => name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The body with every name of the API in its usual spelling; the same object where nothing had to change. */
export function spelled(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(spelled);
    return items.every((item, place) => item === value[place]) ? value : items;
  }
  if (value === null || typeof value !== "object") return value;
  let changed = false;
  const members = Object.entries(value).map(([name, member]): [string, unknown] => {
    const usual = camel(name);
    const read = ofClient.has(usual) ? member : spelled(member);
    if (usual !== name || read !== member) changed = true;
    return [usual, read];
  });
  return changed ? Object.fromEntries(members) : value;
}
