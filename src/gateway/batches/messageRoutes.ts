// Anthropic's Message Batches over the same batches: create, list, retrieve, cancel, results and delete
// (platform.claude.com/docs/en/build-with-claude/batch-processing). Its requests come in one body, so there is no input file, and their
// results are read from the batch's output and error files, in one list.
import { LineshaftError } from "../../errors/index.ts";
import { limits } from "../limits.ts";
import { headersOf } from "../protocols/messages/headers.ts";
import type { Question, Questioned, Reply } from "../protocols/types.ts";
import { invalidAt } from "../refusals.ts";
import { ownerOf } from "../responses/state.ts";
import { cancelled, foundBatch, tooManyBatches } from "./batchRoutes.ts";
import { messageRequests } from "./messageRequests.ts";
import { messageResults } from "./messageResults.ts";
import type { Batch } from "./types.ts";

type Json = Record<string, unknown>;

const batches = "/v1/messages/batches";
const batch = `${batches}/{batch}`;

/** Requests for batches, in Anthropic's shapes. */
export const messageBatchQuestions: readonly Question[] = [
  { method: "POST", path: batches, action: "batches.create", takes: "requests", answer: create },
  { method: "GET", path: batches, action: "batches.read", answer: listBatches },
  { method: "GET", path: batch, action: "batches.read", answer: getBatch },
  { method: "POST", path: `${batch}/cancel`, action: "batches.cancel", answer: cancel },
  { method: "GET", path: `${batch}/results`, action: "batches.read", answer: results },
  { method: "DELETE", path: batch, action: "batches.remove", answer: remove },
];

/** Lines that are written in one statement. */
const linesAtOnce = 500;

async function create(asked: Questioned): Promise<Reply> {
  const lines = await messageRequests(asked.text ?? "");
  const made = await asked.batches.batches.createWith(
    ownerOf(asked.principal),
    {
      endpoint: "/v1/messages",
      metadata: Object.fromEntries(headersOf(asked.headers)),
      outputKeptSeconds: limits.fileKeptSeconds,
    },
    async (of, client) => {
      for (let from = 0; from < lines.length; from += linesAtOnce)
        await asked.batches.lines.addLines(of, lines.slice(from, from + linesAtOnce), client);
      return lines.length;
    },
  );
  if (!made) throw tooManyBatches();
  return { json: shown(made) };
}

/** Newest first; `before_id` asks for the newer neighbours of a batch, `after_id` for the older ones. */
async function listBatches(asked: Questioned): Promise<Reply> {
  const { query, principal } = asked;
  const limit = Number(query.get("limit") ?? limits.listedItems);
  if (!Number.isInteger(limit) || limit < 1 || limit > limits.messageBatchesListed)
    throw invalidAt("limit", `must be a whole number from 1 to ${limits.messageBatchesListed}.`);
  const [before, after] = [query.get("before_id") ?? undefined, query.get("after_id") ?? undefined];
  if (before !== undefined && after !== undefined) throw invalidAt("before_id", "cannot stand beside after_id.");
  const wish = { after: before ?? after, limit, ascending: before !== undefined, api: "msgbatch" as const };
  const found = await asked.batches.batches.list(principal.project, wish);
  const page = found.slice(0, limit);
  const data = (before === undefined ? page : page.toReversed()).map(shown);
  return {
    json: {
      data,
      has_more: found.length > limit,
      first_id: data[0]?.["id"] ?? null,
      last_id: data.at(-1)?.["id"] ?? null,
    },
  };
}

async function getBatch(asked: Questioned): Promise<Reply> {
  return { json: shown(await foundBatch("msgbatch", asked)) };
}

async function cancel(asked: Questioned): Promise<Reply> {
  return { json: shown(await cancelled("msgbatch", asked)) };
}

async function results(asked: Questioned): Promise<Reply> {
  const found = await foundBatch("msgbatch", asked);
  if (!hasEnded(found)) throw batchNotEnded(found.id);
  const { files } = asked.batches;
  const { id, project, outputFile, errorFile } = found;
  const parts = [outputFile, errorFile].filter((file) => file !== undefined);
  for (const file of parts) if (!(await files.get(project, file))) throw resultsGone(id);
  return {
    bytes: messageResults(parts.map((file) => files.chunks(project, file))),
    name: `${id}_results.jsonl`,
    type: "application/x-jsonl",
  };
}

async function remove(asked: Questioned): Promise<Reply> {
  const { id, project } = await foundBatch("msgbatch", asked);
  if (!(await asked.batches.batches.remove(project, id))) throw batchNotEnded(id);
  return { json: { id, type: "message_batch_deleted" } };
}

const hasEnded = ({ status }: Batch): boolean => !["validating", "in_progress", "cancelling"].includes(status);

/**
 * Requests are counted as processing until all of them have ended, as Anthropic counts them. `results_url` is a path, which Anthropic's
 * SDKs resolve against their own base address: an address made from the headers of a request could name another host, which would get the
 * key.
 */
function shown(of: Batch): Json {
  const ended = hasEnded(of);
  const { status, total, completed, failed, unserved, times } = of;
  const [canceled, expired] = [status === "cancelled" ? unserved : 0, status === "expired" ? unserved : 0];
  const counts = { succeeded: completed, errored: failed - canceled - expired, canceled, expired };
  return {
    id: of.id,
    type: "message_batch",
    processing_status: ended ? "ended" : status === "cancelling" ? "canceling" : "in_progress",
    request_counts: ended
      ? { processing: 0, ...counts }
      : { processing: total, succeeded: 0, errored: 0, canceled: 0, expired: 0 },
    created_at: of.createdAt.toISOString(),
    expires_at: of.expiresAt.toISOString(),
    ended_at: ended ? moment(times[`${status}_at`]) : null,
    cancel_initiated_at: moment(times["cancelling_at"]),
    archived_at: null,
    results_url: ended ? `${batches}/${of.id}/results` : null,
  };
}

const moment = (seconds: number | undefined): string | null =>
  seconds === undefined ? null : new Date(seconds * 1000).toISOString();

const batchNotEnded = (id: string): LineshaftError =>
  new LineshaftError({
    code: "batch_not_ended",
    message: `The batch ${id} has not ended, so it has no results and cannot be deleted.`,
    hint: "Wait until its processing_status is ended, or cancel it.",
  });

const resultsGone = (id: string): LineshaftError =>
  new LineshaftError({
    code: "not_found",
    message: `The results of the batch ${id} are gone: their time is over, or their files were deleted.`,
    hint: "Send the requests again.",
  });
