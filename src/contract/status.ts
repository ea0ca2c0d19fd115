// What runs, in what state, with how much memory.
import { z } from "@hono/zod-openapi";
import { time } from "./common.ts";

export const componentStatus = z.object({
  name: z.string(),
  state: z.enum(["starting", "ready", "restarting", "stopping", "stopped", "failed", "external"]),
  pid: z.number().optional(),
  restarts: z.number(),
  started_at: time.optional(),
  rss_bytes: z.number().optional(),
  last_error: z.string().optional(),
});

export const workerRole = z.enum(["both", "prefill", "decode"]);
export const endpointStatus = z.object({
  endpoint: z.string().describe("worker-0, or the name of an endpoint that was added"),
  role: workerRole.describe("prefill and decode in one place, or one of the two"),
  state: z
    .enum(["ready", "starting", "restarting", "leaving", "down", "ejected", "trial"])
    .describe(
      "ejected: calls are kept away because its last ones failed; trial: one call at a time finds out how it is",
    ),
  context_tokens: z.number().optional(),
  threads: z.number().optional(),
  slots: z.number().optional(),
  running: z.number().optional(),
  waiting: z.number().optional(),
  sampling: z
    .object({
      temperature: z.number(),
      top_p: z.number(),
      top_k: z.number(),
      min_p: z.number(),
      repetition_penalty: z.number(),
      source: z
        .enum(["catalogue", "file", "usual"])
        .describe(
          "Who recommends it: the model's makers by our catalogue, or by the GGUF file itself; else llama.cpp's defaults",
        ),
    })
    .optional()
    .describe("How the embedded engine samples where a request says nothing"),
  memory: z.object({ rss_bytes: z.number(), model_bytes: z.number(), kv_bytes: z.number() }).optional(),
  sequences: z
    .array(
      z.object({
        id: z.number(),
        state: z.enum(["free", "idle", "running"]),
        tokens: z.number(),
        program: z.string().optional(),
      }),
    )
    .optional(),
  totals: z
    .object({
      calls: z.number(),
      prompt_tokens: z.number(),
      computed_tokens: z.number(),
      cached_device_tokens: z.number(),
      cached_disk_tokens: z.number(),
      output_tokens: z.number(),
      parks: z.number(),
      restores: z.number(),
    })
    .optional()
    .describe("Since the endpoint's start"),
  error: z.string().optional(),
});
export const deploymentStatus = z.object({
  name: z.string().describe("What callers write as `model`"),
  engine: z
    .string()
    .describe("embedded, or the kind of an engine that was added: openai, responses, anthropic, gemini"),
  kind: z
    .enum(["generate", "embed", "rerank"])
    .optional()
    .describe("What its model does: write text, make embeddings, or rank; absent until an endpoint has said it"),
  state: z
    .enum(["ready", "partial", "starting", "down", "off"])
    .describe("partial: it is served, but not by all endpoints that are wanted; off: none is wanted"),
  clients: z
    .array(z.object({ name: z.string(), needs_tokens: z.number(), fits: z.boolean() }))
    .optional()
    .describe("Coding agents, what each needs of a context, and whether the longest one of the endpoints holds it"),
  placement: z.string().optional().describe("Policy that says which endpoint serves a call"),
  disk: z
    .object({ used_bytes: z.number(), budget_bytes: z.number(), files: z.number() })
    .optional()
    .describe("The pool of parked KV, which all endpoints share"),
  endpoints: z.array(endpointStatus),
  error: z.string().optional(),
});

export const alarm = z.object({
  id: z.string(),
  code: z.string(),
  message: z.string().describe("What happened and what to do"),
  subject: z.string().nullable().describe("What it is about: an engine, a model, a table"),
  count: z.number().describe("How often it was raised"),
  first_at: time,
  last_at: time,
});

export const status = z.object({
  version: z.string(),
  address: z.string(),
  started_at: time,
  healthy: z.boolean().describe("False while `troubles` has anything"),
  troubles: z
    .array(z.string())
    .describe(
      "What is not well, in a sentence each: a full disk, a component, a deployment, or an engine that was added and does not answer",
    ),
  components: z.array(componentStatus),
  deployments: z.array(deploymentStatus),
  alarms: z.array(alarm).describe("What an owner must look at, newest first; empty for members"),
  memory: z.object({ total_rss_bytes: z.number().describe("Resident memory of the whole process tree") }),
  storage: z
    .object({ state: z.enum(["ok", "storage_full"]), free_bytes: z.number() })
    .describe("The disk of the home; while it is full, calls and changes are refused with 507"),
  organisation: z.object({ id: z.string(), name: z.string(), currency: z.string() }),
  project: z.object({ id: z.string(), name: z.string() }),
  role: z.enum(["owner", "member"]).describe("Of the key that asks"),
});

export type Status = z.infer<typeof status>;
export type AlarmResource = z.infer<typeof alarm>;
export type ComponentStatus = z.infer<typeof componentStatus>;
export type DeploymentStatus = z.infer<typeof deploymentStatus>;
export type EndpointStatus = z.infer<typeof endpointStatus>;
