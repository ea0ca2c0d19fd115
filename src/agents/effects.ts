// The effects ledger: tool calls that change something outside happen exactly once, whatever is killed and retried in between.
//
//   (none) ─ plan ─▶ planned ─ claim ─▶ claimed ─ answer ─▶ done
//                       ▲                  │ no answer that can be kept, or the process died
//                       └── certainly not  ├─ the tool can be asked, or knows the key ─▶ asked or called again with the key
//                           sent           └─ neither, or the run has ended ─▶ unknown (a person decides: attestations.ts)
//
// The key is minted here from organisation, run, deciding step and ordinal; a key that a model writes into its arguments is just
// another argument. The decision is durable before the plan (its step is written), the claim before the call. The engine under
// the runs repeats side effects (one in five under kill -9, measured): this table is what does not.
import { getBlob, putBlob, type Database, type Queryable } from "../store/index.ts";
import { insertAttestation } from "./attestations.ts";
import { RunBusyError, StepError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { EffectState } from "./record.ts";
import type { PinnedTool } from "./types.ts";
import { ToolNotSentError, ToolUncertainError, type ToolAnswer, type ToolKind } from "./tools/types.ts";

/** What to do about an effect in this state. `answer`: it is done, use its result. */
export function effectMove(
  state: EffectState,
  tool: { lookup?: unknown; acceptsKey: boolean },
): "call" | "ask" | "answer" | "person" {
  if (state === "done") return "answer";
  if (state === "unknown") return "person";
  if (state === "planned") return "call";
  return tool.lookup ? "ask" : tool.acceptsKey ? "call" : "person";
}

export interface EffectOwner {
  organisation: string;
  project: string;
  run: string;
  /** Only the activation with the run's newest fence may claim. */
  fence: bigint;
}

interface EffectRequest {
  tool: PinnedTool;
  arguments: Record<string, unknown>;
  decidedBy: { step: number; ordinal: number };
}

export function effectKey(owner: { organisation: string; run: string }, at: { step: number; ordinal: number }): string {
  return `${owner.organisation}:${owner.run}:${at.step}:${at.ordinal}`;
}

interface EffectRow {
  [column: string]: unknown;
  tool: string;
  arguments_ref: string;
  state: EffectState;
  result_ref: string | null;
}

export class Effects {
  readonly #db: Database;
  readonly #tools: Pick<ToolKind, "call">;

  constructor(db: Database, tools: Pick<ToolKind, "call">) {
    this.#db = db;
    this.#tools = tools;
  }

  /**
   * Makes the effect happen, or finds out that it has. The caller writes the answer together with the effect's `done`
   * (`markDone`) in the transaction of its step. Throws StepError: `effect_mismatch` (the same decision with other arguments),
   * `effect_unknown` (a person must look), or one that may be tried again.
   */
  async perform(
    owner: EffectOwner,
    request: EffectRequest,
    signal: AbortSignal,
  ): Promise<{ key: string } & ToolAnswer> {
    const { tool } = request;
    const key = effectKey(owner, request.decidedBy);
    const row = await this.#plan(key, owner, request);
    const move = effectMove(row.state, tool);
    if (move === "answer") return { key, ...((await getBlob(this.#db, owner.project, row.result_ref!)) as ToolAnswer) };
    if (move === "person") throw await this.#unknown(key, tool);
    // An effect that was sent, and that the tool's system can neither find nor rule out, may have done its work.
    let sentBefore = row.state === "claimed";
    if (move === "ask") {
      const found = await this.#ask(key, tool, owner.project, signal).catch((error: unknown) =>
        this.#unsettled(key, tool, error, signal),
      );
      if (found) return { key, output: found.result, isError: false };
      sentBefore = false;
    }
    await this.#claim(key, owner);
    try {
      return {
        key,
        ...(await this.#tools.call(tool, request.arguments, { project: owner.project, effectKey: key, signal })),
      };
    } catch (error) {
      if (!(error instanceof ToolNotSentError) || sentBefore) return this.#unsettled(key, tool, error, signal);
      await this.#unclaim(key);
      throw error;
    }
  }

  /**
   * The tool may have done its work, and this did not find out. Throws what lets the run come back to ask the tool's system or to
   * send the key again, for as long as the run may live; where neither can help, a person decides.
   */
  async #unsettled(key: string, tool: PinnedTool, error: unknown, signal: AbortSignal): Promise<never> {
    const repeats = error instanceof ToolUncertainError && error.answered;
    const helpless = effectMove("claimed", tool) === "person" || (repeats && !tool.lookup);
    const final = error instanceof StepError && error.retryAfterMs === undefined;
    if (helpless || (final && !signal.aborted)) throw await this.#unknown(key, tool, error);
    // The run ends here (it was stopped, or its time is over), so no later step asks what became of the effect. When only this
    // process ends, the next process asks.
    if (signal.aborted && signal.reason instanceof StepError) await this.#unknown(key, tool, error);
    throw error instanceof StepError ? patiently(error) : error;
  }

  /** To be called in the transaction that writes the step. */
  async markDone(client: Queryable, key: string, resultRef: string): Promise<void> {
    await client.query("update effects set state = 'done', result_ref = $2, updated_at = now() where key = $1", [
      key,
      resultRef,
    ]);
  }

  async #plan(key: string, owner: EffectOwner, request: EffectRequest): Promise<EffectRow> {
    const argumentsRef = await putBlob(this.#db, owner.project, request.arguments);
    const { step, ordinal } = request.decidedBy;
    await this.#db.query(
      `insert into effects (key, organisation, project, run, step, ordinal, tool, arguments_ref, state)
       values ($1, $2, $3, $4, $5, $6, $7, $8, 'planned') on conflict (key) do nothing`,
      [key, owner.organisation, owner.project, owner.run, step, ordinal, request.tool.name, argumentsRef],
    );
    const { rows } = await this.#db.query<EffectRow>(
      "select tool, arguments_ref, state, result_ref from effects where key = $1",
      [key],
    );
    const row = rows[0]!;
    if (row.tool !== request.tool.name || row.arguments_ref !== argumentsRef)
      throw new StepError(
        "effect_mismatch",
        `Effect ${key} was planned as '${row.tool}' with other arguments than it is asked for now. The run is stopped; nothing was done.`,
      );
    return row;
  }

  async #claim(key: string, owner: EffectOwner): Promise<void> {
    const { rowCount } = await this.#db.query(
      `update effects set state = 'claimed', attempts = attempts + 1, updated_at = now()
       where key = $1 and state in ('planned', 'claimed')
         and exists (select from runs where id = $2 and fence = $3 and status = 'running')`,
      [key, owner.run, owner.fence],
    );
    if (rowCount !== 1) throw new RunBusyError(owner.run);
  }

  /** The call was certainly not sent: the claim is as if it had never been. */
  async #unclaim(key: string): Promise<void> {
    await this.#db.query(
      "update effects set state = 'planned', updated_at = now() where key = $1 and state = 'claimed'",
      [key],
    );
  }

  async #unknown(key: string, tool: PinnedTool, cause?: unknown): Promise<StepError> {
    const why = cause instanceof Error ? ` ${cause.message}` : "";
    await this.#db.query(
      "update effects set state = 'unknown', updated_at = now() where key = $1 and state <> 'done'",
      [key],
    );
    return new StepError(
      "effect_unknown",
      `It is not known whether '${tool.name}' did its work (effect ${key}): no answer of it can be kept.${why} An owner looks at its system and says so with POST /api/runs/ID/effects, or stops the run.`,
      { cause },
    );
  }

  /**
   * What the tool's system keeps of an effect that is done. Throws StepError when the system does not say; where it may yet, the run
   * asks again for as long as it may live, because the work is done and failing the run would leave it unjudged for ever.
   */
  async lookUp(project: string, key: string, tool: PinnedTool, signal: AbortSignal): Promise<unknown> {
    const found = await this.#ask(key, tool, project, signal).catch((error: unknown) => {
      throw error instanceof StepError ? patiently(error) : error;
    });
    if (found) return found.result;
    throw new StepError(
      "effect_not_found",
      `'${tool.name}' answered that its work was done, but '${tool.lookup!.name}' does not know effect ${key}. Nothing is judged or charged before it does; it is asked again until the run's time is over (limits.seconds). Look at the tool's system.`,
      { retryAfterMs: limits.retryFirstMs, patient: true },
    );
  }

  /** What the tool's system knows of the effect; undefined when it never happened. */
  async #ask(
    key: string,
    tool: PinnedTool,
    project: string,
    signal: AbortSignal,
  ): Promise<{ result: unknown } | undefined> {
    const lookup = { ...tool, ...tool.lookup!, effect: false };
    const { output, isError } = await this.#tools.call(lookup, { effect_key: key }, { project, signal });
    const answer = output as { found?: unknown; result?: unknown } | null;
    if (isError || answer === null || typeof answer !== "object" || typeof answer.found !== "boolean")
      throw new StepError(
        "lookup_failed",
        `'${lookup.name}' did not say whether effect ${key} happened: it must answer {found, result}.`,
        { retryAfterMs: limits.retryFirstMs },
      );
    return answer.found ? { result: answer.result ?? null } : undefined;
  }

  /**
   * A person's word on an unknown effect: it happened (with this result), or it did not and is planned anew. Whose word it is and why
   * is written in the same transaction. False when the run has no such effect whose end is unknown.
   */
  async resolve(
    owner: { organisation: string; project: string; run: string },
    word: { key: string; happened: boolean; result: unknown; note: string; author: string },
  ): Promise<boolean> {
    const answer: ToolAnswer = { output: word.result ?? null, isError: false };
    const resultRef = word.happened ? await putBlob(this.#db, owner.project, answer) : null;
    return this.#db.transaction(async (client) => {
      const { rowCount } = await client.query(
        `update effects set state = $3, result_ref = $4, updated_at = now() where key = $1 and run = $2 and state = 'unknown'`,
        [word.key, owner.run, word.happened ? "done" : "planned", resultRef],
      );
      if (rowCount !== 1) return false;
      await insertAttestation(client, owner, { ...word, effect: word.key });
      return true;
    });
  }
}

/** The same failure, tried again for as long as the run may live where it may be tried again at all. */
function patiently(error: StepError): StepError {
  const { code, message, retryAfterMs } = error;
  if (retryAfterMs === undefined || error.patient) return error;
  return new StepError(code, message, { retryAfterMs, patient: true, cause: error });
}
