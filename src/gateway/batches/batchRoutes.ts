// OpenAI's Batch API: create, list, retrieve and cancel.
import { LineshaftError } from "../../errors/index.ts";
import { limits } from "../limits.ts";
import type { Question, Questioned, Reply } from "../protocols/types.ts";
import { invalidAt } from "../refusals.ts";
import { ownerOf } from "../responses/state.ts";
import { labelsOf } from "../responses/labels.ts";
import { fileNotFound } from "./fileRoutes.ts";
import { keptSeconds, pageOf, pageWish, secondsOf } from "./pages.ts";
import type { Batch, BatchApi } from "./types.ts";

type Json = Record<string, unknown>;

const batch = "/v1/batches/{batch}";

/** Requests for batches, in OpenAI's shapes. */
export const batchQuestions: readonly Question[] = [
  { method: "POST", path: "/v1/batches", action: "batches.create", answer: create },
  { method: "GET", path: "/v1/batches", action: "batches.read", answer: listBatches },
  { method: "GET", path: batch, action: "batches.read", answer: getBatch },
  { method: "POST", path: `${batch}/cancel`, action: "batches.cancel", answer: cancel },
];

/** Calls that a batch may hold. */
const endpoints = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"];
const members = ["input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"];

async function create({ batches, principal, json }: Questioned): Promise<Reply> {
  const body = bodyOf(json);
  const { input_file_id: inputFile, endpoint, completion_window: window, output_expires_after: kept } = body;
  if (typeof endpoint !== "string" || !endpoints.includes(endpoint))
    throw invalidAt("endpoint", `must be one of ${endpoints.join(", ")}.`);
  if (window !== "24h") throw invalidAt("completion_window", 'must be "24h".');
  const metadata = body["metadata"] === undefined || body["metadata"] === null ? undefined : labelsOf(body["metadata"]);
  const outputKeptSeconds = keptSeconds("output_expires_after", (kept ?? undefined) as Json | undefined);
  if (typeof inputFile !== "string") throw invalidAt("input_file_id", "must be the id of a file.");
  const file = await batches.files.get(principal.project, inputFile);
  if (!file) throw fileNotFound(inputFile);
  if (file.purpose !== "batch")
    throw invalidAt("input_file_id", "names a file that was not uploaded with `purpose` `batch`.");
  const made = await batches.batches.create(ownerOf(principal), { endpoint, inputFile, metadata, outputKeptSeconds });
  if (!made) throw tooManyBatches();
  return { json: shown(made) };
}

function bodyOf(json: unknown): Json {
  if (json === null || typeof json !== "object" || Array.isArray(json))
    throw invalidAt("body", "must be a JSON object.");
  const unknown = Object.keys(json).find((name) => !members.includes(name));
  if (unknown !== undefined) throw invalidAt(unknown.slice(0, 100), "is not known here: leave it out.");
  return json as Json;
}

async function listBatches({ batches, principal, query }: Questioned): Promise<Reply> {
  const wish = pageWish(query, limits.listedItemsMost);
  return { json: pageOf((await batches.batches.list(principal.project, { ...wish, api: "batch" })).map(shown), wish) };
}

async function getBatch(asked: Questioned): Promise<Reply> {
  return { json: shown(await foundBatch("batch", asked)) };
}

/** The batch that a path names. Throws 404 where the project has none of that id that this API made. */
export async function foundBatch(api: BatchApi, { batches, principal, names }: Questioned): Promise<Batch> {
  const id = names["batch"]!;
  const found = id.startsWith(`${api}_`) ? await batches.batches.get(principal.project, id) : undefined;
  if (!found) throw batchNotFound(id);
  return found;
}

async function cancel(asked: Questioned): Promise<Reply> {
  return { json: shown(await cancelled("batch", asked)) };
}

/** The batch that a path names, with no further line begun. Throws 409 where it has ended. */
export async function cancelled(api: BatchApi, asked: Questioned): Promise<Batch> {
  const { id } = await foundBatch(api, asked);
  const { principal, batches } = asked;
  const isCancelled = await batches.batches.cancel(principal.project, id);
  if (isCancelled) return isCancelled;
  const found = await foundBatch(api, asked);
  // Cancelling twice changes nothing.
  if (found.status === "cancelling") return found;
  throw new LineshaftError({
    code: "batch_ended",
    message: `The batch ${id} has ended: it is ${found.status}.`,
    hint: "Read its results.",
  });
}

/** OpenAI's moments are whole seconds. */
const momentOf = ({ times }: Batch, name: string): number | null =>
  times[name] === undefined ? null : Math.floor(times[name]);

const shown = (of: Batch): Json => ({
  id: of.id,
  object: "batch",
  endpoint: of.endpoint,
  errors: of.problems.length === 0 ? null : { object: "list", data: of.problems },
  input_file_id: of.inputFile,
  completion_window: "24h",
  status: of.status,
  output_file_id: of.outputFile ?? null,
  error_file_id: of.errorFile ?? null,
  created_at: secondsOf(of.createdAt),
  in_progress_at: momentOf(of, "in_progress_at"),
  expires_at: secondsOf(of.expiresAt),
  finalizing_at: momentOf(of, "finalizing_at"),
  completed_at: momentOf(of, "completed_at"),
  failed_at: momentOf(of, "failed_at"),
  expired_at: momentOf(of, "expired_at"),
  cancelling_at: momentOf(of, "cancelling_at"),
  cancelled_at: momentOf(of, "cancelled_at"),
  request_counts: { total: of.total, completed: of.completed, failed: of.failed },
  metadata: of.metadata ?? null,
});

const batchNotFound = (id: string): LineshaftError =>
  new LineshaftError({
    code: "not_found",
    message: `There is no batch ${JSON.stringify(id.slice(0, 100))}. It may be another project's, or have ended long ago.`,
    hint: "List those that there are.",
  });

export const tooManyBatches = (): LineshaftError =>
  new LineshaftError({
    code: "too_many_batches",
    message: `A project has at most ${limits.openBatchesMost} batches under way.`,
    hint: "Wait until one has ended, or cancel one.",
  });
