// The fixture's batches: one in each state that a person looks at.
import type { BatchResource } from "../../contract/index.ts";
import type { Random } from "./random.ts";
import { currency, day, hour, idOf, iso, minute } from "./fixtureWords.ts";

/** Newest first. `key`: the id of the key that made them. */
export function batchesAt(random: Random, now: number, key: string): BatchResource[] {
  const made = (age: number, more: Partial<BatchResource>): BatchResource => ({
    id: idOf(random, "batch", now - age),
    status: "completed",
    endpoint: "/v1/chat/completions",
    key,
    total: 0,
    completed: 0,
    failed: 0,
    price_nano: "0",
    currency,
    input_file: idOf(random, "file", now - age),
    output_file: null,
    error_file: null,
    problems: [],
    created_at: iso(now - age),
    expires_at: iso(now - age + day),
    ended_at: null,
    ...more,
  });
  return [
    made(12 * minute, { status: "in_progress", total: 12_000, completed: 4_210, failed: 3, price_nano: "61254000" }),
    made(2 * hour, {
      status: "failed",
      ended_at: iso(now - 2 * hour + 900),
      problems: [
        {
          code: "invalid_json_line",
          line: 3,
          message: "This line is not a JSON object, or is nested too deeply.",
          param: null,
        },
        {
          code: "duplicate_custom_id",
          line: 8,
          message: '`custom_id` "inspection 7" stands in an earlier line.',
          param: "custom_id",
        },
      ],
    }),
    made(day, {
      endpoint: "/v1/embeddings",
      total: 50_000,
      completed: 49_988,
      failed: 12,
      price_nano: "412007000",
      output_file: idOf(random, "file", now - day + hour),
      error_file: idOf(random, "file", now - day + hour),
      ended_at: iso(now - day + 3 * hour),
    }),
  ];
}
