// What every resource is made of: amounts, times, errors, pages.
import { z } from "@hono/zod-openapi";
import { nearest } from "../errors/index.ts";

/**
 * An object that has these fields and no others. What a client sends is always one: a field that is not known would have to be
 * ignored, and a key without the expiry that was asked for is worse than no key.
 */
export function strict<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const known = Object.keys(shape);
  return z.strictObject(shape, { error: (issue) => unknownFields(issue, known) });
}

function unknownFields(issue: { code?: string; keys?: unknown }, known: string[]): string | undefined {
  if (issue.code !== "unrecognized_keys") return undefined;
  const name = String((issue.keys as string[])[0]).slice(0, 100);
  const near = nearest(name, known);
  const meant = near === undefined ? "" : ` Did you mean \`${near}\`?`;
  const all = known.length === 0 ? "Nothing is taken here." : `Known are: ${known.join(", ")}.`;
  return `\`${name}\` is not known here.${meant} ${all}`;
}

/** The largest amount, 2^62: a sum of two still fits into the ledger's 64 bits. */
const mostNano = 2n ** 62n;
export const nano = z
  .string()
  .regex(/^-?\d{1,19}$/, "must be a whole number of nano-units in quotes, of at most 19 digits")
  .refine((text) => !/^-?\d{1,19}$/.test(text) || (BigInt(text) <= mostNano && BigInt(text) >= -mostNano), {
    message: `must be at most ${mostNano}`,
  })
  .describe("Integer nano-units of the currency: 1000000000 is 1.00");
/** Prices: a hundred million per million tokens at most, so that what a call costs can be computed and summed. */
export const priceNano = z
  .string()
  .regex(/^\d{1,17}$/, "must be a whole number of nano-units in quotes, not negative, of at most 17 digits")
  .describe("Integer nano-units of the currency per million tokens");
export const time = z.string().describe("RFC 3339");
/** A moment that a client names: a date, or a date with a time, of years that every part of the system can hold. */
export const moment = z
  .string()
  .regex(
    /^(19[7-9]\d|[2-9]\d{3})-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/,
    "must be a time from 1970 on, like 2026-11-01T00:00:00Z",
  )
  .refine((text) => !Number.isNaN(Date.parse(text)), { message: "is no time that the calendar has" })
  .describe("RFC 3339");
/** An id or a name in an address or a filter. */
export const idText = z.string().min(1).max(200);
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

/** Query parameter of reads of what calls have used; the header `x-lineshaft-after` says the same, on every read. */
export const afterFields = {
  after: idText
    .optional()
    .describe(
      "`x-lineshaft-after` of an answer: the read waits until that call's record and money are in the database",
    ),
};

/** A page of a list; `next_cursor` is null on the last. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ data: z.array(item), next_cursor: z.string().nullable() });
/** Query parameters of a list that has pages. */
export const pageFields = {
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: idText.optional().describe("`next_cursor` of the page before"),
  ...afterFields,
};
export const pageQuery = strict(pageFields);
/** Of a list that is short and answered whole; it takes the same parameters, so that every list is read in one way. */
export const wholeListQuery = strict({
  limit: z.coerce.number().int().min(1).max(200).optional().describe("Accepted, and not needed: the list is whole"),
  cursor: idText.optional().describe("Accepted, and not needed: there is one page"),
  ...afterFields,
});
