// The body of an embeddings call, as it is judged and as /api/openapi.json describes it.
import { z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import { sampling } from "../openai/bodies.ts";
import { isPrompt, promptIssue, promptSchema } from "../openai/prompts.ts";

const most = limits.promptsPerCall;

export const embeddingsBody = z
  .looseObject({
    model: sampling.model,
    input: z
      .unknown()
      .refine((input) => isPrompt(input, most), { error: ({ input }) => promptIssue(input, most) })
      .refine((input) => input !== "" && !(Array.isArray(input) && input.includes("")), "must not be empty")
      .openapi(promptSchema(most)),
    encoding_format: z.enum(["float", "base64"]).nullish(),
    dimensions: z.number().int().min(1).nullish(),
    user: sampling.user,
  })
  .openapi("EmbeddingsRequest");
