// The body of a text completion, as it is judged and as /api/openapi.json describes it.
import { z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import { sampling } from "../openai/bodies.ts";
import { isPrompt, promptIssue, promptSchema } from "../openai/prompts.ts";

const most = limits.promptsPerCall;

export const completionBody = z
  .looseObject({
    ...sampling,
    prompt: z
      .unknown()
      .refine((prompt) => isPrompt(prompt, most), { error: ({ input }) => promptIssue(input, most) })
      .openapi(promptSchema(most)),
    logprobs: z.number().int().min(0).max(20).nullish(),
    echo: z.boolean().nullish(),
    suffix: z.string().nullish(),
    best_of: z.number().int().min(1).max(limits.answersPerPrompt).nullish(),
  })
  .openapi("CompletionRequest");
