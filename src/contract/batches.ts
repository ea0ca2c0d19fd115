// Files and batches: in OpenAI's shapes, as /v1 answers them, and batches with their price, as /api shows them.
import { z } from "@hono/zod-openapi";
import { nano, time } from "./common.ts";

const seconds = z.number().int().describe("Seconds since 1970");

/** A file of a batch, in OpenAI's shape. */
export const fileObject = z.object({
  id: z.string(),
  object: z.literal("file"),
  bytes: z.number().int(),
  created_at: seconds,
  expires_at: seconds,
  filename: z.string(),
  purpose: z.enum(["batch", "batch_output"]).describe("batch: an input; batch_output: what a batch has written"),
  status: z.literal("processed"),
});

/** The form of `POST /v1/files`. */
export const fileUpload = z.object({
  file: z.string().describe("The file, at most 200 MiB").openapi({ type: "string", format: "binary" }),
  purpose: z.literal("batch"),
  "expires_after[anchor]": z.literal("created_at").optional(),
  "expires_after[seconds]": z
    .string()
    .optional()
    .describe("How long the file is kept, from 3600 on; 2592000 (30 days) where absent"),
});

export const batchStatus = z.enum([
  "validating",
  "failed",
  "in_progress",
  "completed",
  "expired",
  "cancelling",
  "cancelled",
]);

/** What is wrong with an input file. */
export const batchProblem = z.object({
  code: z.string(),
  line: z.number().int().nullable().describe("From 1; null where it is of the whole file"),
  message: z.string(),
  param: z.string().nullable(),
});

/** A batch, in OpenAI's shape. A moment is null until it has come. */
export const batchObject = z.object({
  id: z.string(),
  object: z.literal("batch"),
  endpoint: z.string(),
  errors: z
    .object({ object: z.literal("list"), data: z.array(batchProblem) })
    .nullable()
    .describe("What is wrong with its input file: a batch with errors has begun nothing"),
  input_file_id: z.string(),
  completion_window: z.literal("24h"),
  status: batchStatus,
  output_file_id: z.string().nullable(),
  error_file_id: z.string().nullable(),
  created_at: seconds,
  in_progress_at: seconds.nullable(),
  expires_at: seconds,
  finalizing_at: seconds.nullable(),
  completed_at: seconds.nullable(),
  failed_at: seconds.nullable(),
  expired_at: seconds.nullable(),
  cancelling_at: seconds.nullable(),
  cancelled_at: seconds.nullable(),
  request_counts: z.object({
    total: z.number().int().describe("0 until its file is validated"),
    completed: z.number().int(),
    failed: z.number().int(),
  }),
  metadata: z.record(z.string(), z.string()).nullable(),
});

/** Endpoints whose calls a batch may hold. */
export const batchEndpoints = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/responses",
  "/v1/embeddings",
  "/v1/messages",
] as const;

/** The body of `POST /v1/batches`. */
export const batchCreate = z.object({
  input_file_id: z.string().describe("A file that was uploaded with `purpose` `batch`"),
  endpoint: z.enum(batchEndpoints).describe("The `url` of every line"),
  completion_window: z.literal("24h"),
  metadata: z.record(z.string(), z.string()).nullish().describe("Up to 16 labels, which the batch keeps"),
  output_expires_after: z
    .object({ anchor: z.literal("created_at"), seconds: z.number().int().min(3_600).max(2_592_000) })
    .nullish()
    .describe("How long its output is kept; 30 days where absent"),
});

/** A batch as /api shows it: with its price. */
export const batch = z.object({
  id: z.string(),
  status: batchStatus,
  endpoint: z.string(),
  key: z.string().nullable().describe("The key that made it, which pays for it"),
  total: z.number().int().describe("Lines of its file; 0 until the file is validated"),
  completed: z.number().int().describe("Lines that were served"),
  failed: z.number().int().describe("Lines that ended with an error, and those that the batch ended without"),
  price_nano: nano.describe("What its calls have cost until now; whole a moment after its end"),
  currency: z.string(),
  input_file: z.string().nullable().describe("Null for a batch of messages, whose requests came in one body"),
  output_file: z.string().nullable(),
  error_file: z.string().nullable(),
  problems: z.array(batchProblem).describe("What is wrong with its input file; at most 50"),
  created_at: time,
  expires_at: time.describe("Lines that are not served by then end without a call"),
  ended_at: time.nullable(),
});

export type FileObject = z.infer<typeof fileObject>;
export type BatchObject = z.infer<typeof batchObject>;
export type BatchStatus = z.infer<typeof batchStatus>;
export type BatchResource = z.infer<typeof batch>;
