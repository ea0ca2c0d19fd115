// Where a client's body says what the typed view has in a field: refusals name the field that the client wrote.
import type { Shape } from "../asked.ts";

/** Fields of the typed view that not every API has a word for. */
export type Said =
  | "temperature"
  | "seed"
  | "minP"
  | "stop"
  | "topK"
  | "logprobs"
  | "presencePenalty"
  | "frequencyPenalty"
  | "answers"
  | "format";

const ofChat: Readonly<Record<Said, string>> = {
  temperature: "temperature",
  seed: "seed",
  minP: "min_p",
  stop: "stop",
  topK: "top_k",
  logprobs: "logprobs",
  presencePenalty: "presence_penalty",
  frequencyPenalty: "frequency_penalty",
  answers: "n",
  format: "response_format",
};

const others: Partial<Record<Shape, Partial<Record<Said, string>>>> = {
  responses: { logprobs: "top_logprobs", format: "text.format" },
  messages: { stop: "stop_sequences", format: "output_config.format" },
  gemini: {
    temperature: "generationConfig.temperature",
    seed: "generationConfig.seed",
    topK: "generationConfig.topK",
    stop: "generationConfig.stopSequences",
    presencePenalty: "generationConfig.presencePenalty",
    frequencyPenalty: "generationConfig.frequencyPenalty",
    answers: "generationConfig.candidateCount",
    logprobs: "generationConfig.responseLogprobs",
    format: "generationConfig.responseMimeType",
  },
};

/** The field's path in a body of that API. */
export const pathIn = (shape: Shape, said: Said): string => others[shape]?.[said] ?? ofChat[said];
