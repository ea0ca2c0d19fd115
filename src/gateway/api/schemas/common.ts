// What every resource is made of: amounts, times, errors, pages.
import { z } from "@hono/zod-openapi";

export const nano = z
  .string()
  .regex(/^-?\d+$/)
  .describe("Integer nano-units of the currency: 1000000000 is 1.00");
export const time = z.string().describe("RFC 3339");
export const tokens = z.number().int().nonnegative();

export const apiError = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    hint: z.string().optional(),
    docs: z.string().optional(),
    request_id: z.string(),
  }),
});

/** A page of a list; `next_cursor` is null on the last. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ data: z.array(item), next_cursor: z.string().nullable() });
export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().optional(),
});
