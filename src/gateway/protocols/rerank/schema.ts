// The body of a rerank call, as it is judged and as /api/openapi.json describes it.
import { z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import { sampling } from "../openai/bodies.ts";

const document = z.union([z.string().min(1), z.object({ text: z.string().min(1) })]);

export const rerankBody = z
  .looseObject({
    model: sampling.model,
    query: z.string().min(1),
    documents: z.array(document).min(1).max(limits.promptsPerCall),
    top_n: z.number().int().min(1).nullish(),
    return_documents: z.boolean().nullish(),
  })
  .openapi("RerankRequest");
