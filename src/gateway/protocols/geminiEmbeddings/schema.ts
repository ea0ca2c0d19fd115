// The bodies of Google's embedContent and batchEmbedContents, as they are judged and as /api/openapi.json describes them.
import { z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";

const content = z.looseObject({
  role: z.string().nullish(),
  parts: z.array(z.strictObject({ text: z.string().min(1) })).min(1),
});

/** `taskType` and `title` say what the vector is for. Engines here make one vector for all uses, so the two are hints. */
const request = z.strictObject({
  /** As the address names it. */
  model: z.string().nullish(),
  content,
  taskType: z.string().nullish(),
  title: z.string().nullish(),
  outputDimensionality: z.number().int().min(1).nullish(),
});

export const geminiEmbedBody = request.openapi("GeminiEmbedRequest");
export const geminiBatchEmbedBody = z
  .strictObject({ requests: z.array(request).min(1).max(limits.promptsPerCall) })
  .openapi("GeminiBatchEmbedRequest");
