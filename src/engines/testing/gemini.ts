// The scripted engine in the shape of Google's generateContent. Composed from Google's API reference, not recorded: every object of a
// stream has the usage so far, the last one says why the answer finished, and thought is counted beside the answer.
import type { ServerResponse } from "node:http";
import type { Script } from "../testing.ts";
import type { ScriptedWire } from "./wire.ts";

type Json = Record<string, unknown>;

export const scriptedGemini: ScriptedWire = {
  isCall: (path) => /:(generateContent|streamGenerateContent)(\?|$)/.test(path),
  streams: (path) => path.includes(":streamGenerateContent"),
  models: (names) => ({
    models: names.map((name) => ({
      name: `models/${name}`,
      inputTokenLimit: 1_000,
      outputTokenLimit: 100,
      supportedGenerationMethods: ["generateContent", "countTokens"],
    })),
  }),
  whole: (script) => objectOf(script, partsOf(script), true),
  stream,
  refusal: (status) => ({ error: { code: status, message: `scripted ${status}`, status: "SCRIPTED" } }),
};

const usual = ["Hello", ", ", "world", "."];
const textsOf = ({ chunks, toolCalls }: Script): string[] => chunks ?? (toolCalls ? [] : usual);

/** Parts of the whole answer. The proof of the thought stands beside the first part that is none. */
function partsOf(script: Script): Json[] {
  const { reasoning = [], toolCalls = [], proof } = script;
  const thoughts = reasoning.map((text): Json => ({ text, thought: true }));
  const said = [
    ...textsOf(script).map((text): Json => ({ text })),
    ...toolCalls.map(({ id, name, arguments: text }): Json => ({
      functionCall: { ...(id !== undefined && { id }), name, args: JSON.parse(text) as unknown },
    })),
  ];
  if (proof !== undefined && said[0]) said[0] = { ...said[0], thoughtSignature: proof };
  return [...thoughts, ...said];
}

function objectOf(script: Script, parts: Json[], isLast: boolean): Json {
  const usageMetadata = usageOf(script, isLast);
  const reason = script.finishReason === "length" ? "MAX_TOKENS" : "STOP";
  return {
    candidates: [{ content: { parts, role: "model" }, ...(isLast && { finishReason: reason }), index: 0 }],
    ...(usageMetadata && { usageMetadata }),
    modelVersion: "scripted",
    responseId: "scripted1",
  };
}

function usageOf(script: Script, isLast: boolean): Json | undefined {
  if (script.usage === null) return undefined;
  const { prompt, cached = 0, output, reasoning = 0 } = script.usage ?? { prompt: 10, output: 4 };
  return {
    promptTokenCount: prompt,
    ...(isLast && { candidatesTokenCount: output - reasoning }),
    totalTokenCount: prompt + (isLast ? output : 0),
    ...(isLast && reasoning > 0 && { thoughtsTokenCount: reasoning }),
    ...(cached !== null && cached > 0 && { cachedContentTokenCount: cached }),
  };
}

async function stream(response: ServerResponse, script: Script): Promise<void> {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const tell = (parts: Json[], isLast: boolean) =>
    response.write(`data: ${JSON.stringify(objectOf(script, parts, isLast))}\r\n\r\n`);
  let text = 0;
  for (const part of partsOf(script)) {
    if (typeof part["text"] === "string" && part["thought"] !== true) {
      const place = text++;
      if (script.waitAfter === place) await script.wait;
      if (script.cut === place) return void response.destroy();
    }
    tell([part], false);
    if (script.wait || script.cut !== undefined) await new Promise((resolve) => setImmediate(resolve));
  }
  if (script.cut === text) return void response.destroy();
  tell([], true);
  response.end();
}
