// Judging bodies by a schema, up to the first fault. A schema library reports every wrong item of a list, at a microsecond and more each,
// and writes out those inside a union at once: half a million wrong items would hold the event loop for seconds.
import { z } from "@hono/zod-openapi";

/**
 * What is wrong with the value first; undefined when nothing is. Lists and objects are left at their first wrong item. The library keeps
 * this setting for its own `validate`, which answers yes or no; test/hostile/corpus.test.ts counts reports and fails where it is gone.
 */
export function firstIssue(schema: z.ZodType, value: unknown): z.core.$ZodIssue | undefined {
  const context: z.core.ParseContextInternal<z.core.$ZodIssue> = { abortEarly: true };
  return schema.safeParse(value, context).error?.issues[0];
}

/** An object with any names. Records are judged to their end even so, therefore how many members there are is judged before. */
export const dictionary = (key: z.ZodType<string, string>, value: z.ZodType, most: number) =>
  z
    .record(z.string(), z.unknown())
    .refine((members) => Object.keys(members).length <= most, `must have at most ${most} members`)
    .pipe(z.record(key, value));
