// One line of a batch as a call: decoded by the protocol of the batch's endpoint, served like any other call, and written as its line of
// the output or of the error file (developers.openai.com/api/docs/guides/batch).
import { processMemory } from "../../bounded/index.ts";
import { LineshaftError } from "../../errors/index.ts";
import type { Principal } from "../../governance/types.ts";
import { asLineshaftError } from "../errors.ts";
import { newId } from "../../store/index.ts";
import { limits } from "../limits.ts";
import { routeOf } from "../protocols/registry.ts";
import type { Protocol, Told } from "../protocols/types.ts";
import { invalidValue } from "../refusals.ts";
import { keepResponse } from "../responses/keeping.ts";
import { ownerOf, type ResponsesState } from "../responses/state.ts";
import type { AnswerChunk, Gateway } from "../types.ts";
import type { ClaimedLine, LineStore } from "./lineStore.ts";
import { outputLine, unservedLine } from "./outputLines.ts";
import type { Batch } from "./types.ts";

/** Memory that a byte of a line takes while it is served: the text, its bytes and what was parsed. */
const heldPerByte = 3;

/** Another process has taken the line, so nothing of this try is written or paid for. */
class LineTakenError extends LineshaftError {
  constructor() {
    super({ code: "line_taken", message: "Another process serves this line of a batch." });
  }
}

interface LineParts {
  gateway: Pick<Gateway, "call">;
  stored: ResponsesState;
  lines: LineStore;
}

/** Serves a line to its end, or gives it back. Throws where the database does not answer; then the line stands as it did. */
export async function serveLine(
  line: ClaimedLine,
  { batch, principal }: { batch: Pick<Batch, "id" | "endpoint" | "metadata">; principal: Principal },
  parts: LineParts,
): Promise<void> {
  const { lines } = parts;
  const { protocol, call } = routeOf("POST", batch.endpoint)!;
  const id = newId("call");
  const requestId = newId("req");
  const held = processMemory.open();
  /** Text of the answer that was written; undefined until one was. */
  let written: string | undefined;
  const write = async (body: string) => {
    const text = outputLine(line, { status: 200, requestId, body });
    if (!(await lines.settle(line, id, { isDone: true, text }))) throw new LineTakenError();
    written = body;
  };
  try {
    held.add("bodies", heldPerByte * line.body.length, true);
    const json = JSON.parse(line.body) as Record<string, unknown>;
    if (json["stream"] === true)
      throw invalidValue("stream", "A request of a batch cannot stream: leave `stream` out.");
    const final = await answered({ line, json, batch, principal, id, protocol, route: call! }, parts, write);
    if (written === undefined) await write(final);
    else if (written !== final) await lines.correct(line, outputLine(line, { status: 200, requestId, body: final }));
  } catch (error) {
    if (written !== undefined || isTaken(error)) return;
    await ended(line, asLineshaftError(error), { protocol, id, requestId }, lines);
  } finally {
    held.release();
  }
}

/** JSON text of the answer, as it is paid for. `write` is told it before that. */
async function answered(
  of: {
    line: ClaimedLine;
    json: Record<string, unknown>;
    batch: Pick<Batch, "id" | "endpoint" | "metadata">;
    principal: Principal;
    id: string;
    protocol: Protocol;
    route: NonNullable<ReturnType<typeof routeOf>>["call"] & object;
  },
  { gateway, stored }: LineParts,
  write: (body: string) => Promise<void>,
): Promise<string> {
  const { line, json, protocol, principal, id, batch } = of;
  const { body: text } = line;
  const owner = ownerOf(principal);
  const held = processMemory.open();
  const earlier = protocol.stateful && (await stored.before(json, owner, (bytes) => held.add("bodies", bytes, true)));
  try {
    const asked = protocol.decode({
      route: of.route,
      model: undefined,
      path: batch.endpoint,
      query: new URLSearchParams(),
      headers: headersOf(batch),
      bytes: Buffer.from(text),
      json,
      ...(protocol.stateful && { state: { keeps: true, earlier } }),
    });
    const told: Told = { call: asked, id, createdMs: Date.now() };
    const keep = async (chunk: AnswerChunk) => {
      if (protocol.stateful) await keepResponse(stored, told, chunk, owner);
      await write(protocol.whole(chunk, told));
    };
    const answer = await gateway.call({ principal, asked, id, batch: true, line: { batch: line.batch, keep } });
    return protocol.whole(await answer.whole(), told);
  } finally {
    held.release();
    if (earlier) await earlier.release?.();
  }
}

/** Headers of the request that made a batch of Anthropic's API belong to each of its lines. */
const headersOf = ({ id, metadata }: Pick<Batch, "id" | "metadata">): Record<string, string> =>
  id.startsWith("msgbatch_") ? (metadata as Record<string, string>) : {};

/** A line whose call failed: it is tried again later, or has ended with the error. */
async function ended(
  line: ClaimedLine,
  failure: LineshaftError,
  { protocol, id, requestId }: { protocol: Protocol; id: string; requestId: string },
  lines: LineStore,
): Promise<void> {
  const again = whenAgain(failure, line.triesBefore);
  if (again) return lines.release(line, again);
  const status = protocol.statusOf?.(failure) ?? failure.status!;
  const text =
    failure.code === "key_revoked"
      ? unservedLine(line, failure.code)
      : outputLine(line, { status, requestId, body: protocol.error(failure, "body") });
  await lines.settle(line, id, { isDone: false, text });
}

/**
 * When a failed line is tried again; undefined: never. Where the gateway or an engine is busy a line waits as long as its batch has time;
 * where something failed it has some tries.
 */
export function whenAgain(
  {
    code,
    status = 500,
    retryAfterSeconds,
  }: { code: string; status?: number | undefined; retryAfterSeconds?: number | undefined },
  triesBefore: number,
): { afterMs: number; isTry: boolean } | undefined {
  if (code === "shutting_down") return { afterMs: 0, isTry: false };
  if (neverBetter.has(code) || (status < 500 && status !== 429 && status !== 409 && status !== 499)) return undefined;
  const isTry = retryAfterSeconds === undefined;
  if (isTry && triesBefore + 1 >= limits.lineTriesMost) return undefined;
  const afterMs = 1000 * (retryAfterSeconds ?? 0) || limits.lineWaitMs * 2 ** triesBefore;
  return { afterMs: Math.min(afterMs, limits.lineWaitMostMs), isTry };
}

/** Refusals with a status of those that pass, which do not pass within the life of a batch. */
const neverBetter = new Set([
  "budget_exceeded",
  "call_over_limit",
  "output_invalid",
  "engine_auth_failed",
  "engine_model_missing",
]);

/** Whether an error is that of a line that was taken, as the gateway passes it on. */
const isTaken = (error: unknown): boolean =>
  error instanceof LineTakenError || (error instanceof Error && error.cause instanceof LineTakenError);
