// One activation of a run, step by step: claim it, let the interpreter decide, do what it decided, write what came of it. The
// shell around `next`: everything that touches the world is here or called from here.
//
// Replaying is safe at every point. A step that is written is never done again (the next claim begins after it); a model call
// that was answered but not written is made again and paid again; an effect is judged by the effects ledger.
import { LRUCache } from "lru-cache";
import { setTimeout as sleep } from "node:timers/promises";
import { principalOfRun, type RunPrincipal } from "../governance/index.ts";
import { parseMoney } from "../ledger/index.ts";
import { isRowRefused, putBlob } from "../store/index.ts";
import type { Dependencies } from "./dependencies.ts";
import type { Effects } from "./effects.ts";
import { RunBusyError, StepError } from "./errors.ts";
import { next } from "./interpreter.ts";
import { limits } from "./limits.ts";
import { type Done, Performer } from "./performer.ts";
import type { Backlog } from "./backlog.ts";
import type { ClaimedRun } from "./runRows.ts";
import type { Runs } from "./runs.ts";
import { type Place, Seats } from "./seats.ts";
import type { ToolKind } from "./tools/types.ts";
import type { RunState } from "./types.ts";
import { checksOf } from "./validation.ts";
import type { Sandbox } from "./verifier/sandbox.ts";

/** What is left to do after one step, for the durable engine's journal: a number and a reference, never a payload. */
export type Advance =
  | { next: "step"; step: number; ref: string | null }
  | { next: "wait"; delayMs: number }
  /** Ended, or waiting for a person. */
  | { next: "nothing" };

interface Active {
  stop: AbortController;
  done: Promise<Advance>;
}

interface TurnParts {
  runs: Runs;
  backlog: Pick<Backlog, "places">;
  effects: Effects;
  tools: ToolKind;
  sandbox: Sandbox;
  /** Told after every change, for live events. */
  changed(run: ClaimedRun, step: number | undefined): void;
}

export class Turns {
  readonly #with: Dependencies;
  readonly #parts: TurnParts;
  readonly #performer: Performer;
  readonly #active = new Map<string, Active>();
  /** State of runs between two steps of a turn; valid while no other process has claimed the run, which its fence tells. */
  readonly #kept = new LRUCache<string, { fence: bigint; project: string; state: RunState }>({ max: 256 });
  readonly #working = new Set<string>();
  readonly #seats: Seats;
  #closing = false;

  constructor(dependencies: Dependencies, parts: TurnParts) {
    this.#with = dependencies;
    this.#parts = parts;
    this.#performer = new Performer(dependencies, parts);
    this.#seats = new Seats(dependencies.engines, parts.backlog);
  }

  /** Runs whose turn is in this process: their step is under way, or waits for its turn. */
  get active(): string[] {
    return [...this.#active.keys()];
  }

  /** Runs that a step of is being done right now in this process. */
  get working(): string[] {
    return [...this.#working];
  }

  /** Ends the work on a run in this process; what it was doing is aborted. */
  abort(run: string): void {
    this.#active.get(run)?.stop.abort(new StepError("stopped", "The run was stopped."));
    this.#kept.delete(run);
  }

  /** Does the next step of a run. A second caller for the same run gets the same answer, not a second step. */
  advance(run: string): Promise<Advance> {
    const running = this.#active.get(run);
    if (running) return running.done;
    if (this.#closing) return Promise.reject(new RunBusyError(run));
    const stop = new AbortController();
    const done = this.#inTurn(run, stop.signal).finally(() => this.#active.delete(run));
    this.#active.set(run, { stop, done });
    return done;
  }

  /** Takes no more work, gives what is under way `graceMs`, then aborts it; nothing that was begun is lost. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    this.#seats.close();
    const all = () => Promise.allSettled([...this.#active.values()].map(({ done }) => done));
    await Promise.race([all(), sleep(graceMs, undefined, { ref: false })]);
    for (const { stop } of this.#active.values()) stop.abort(new RunBusyError("closing"));
    await all();
  }

  /** Waits for the step's turn, then does it. One whose turn does not come is put down: its run was not touched. */
  async #inTurn(run: string, stopped: AbortSignal): Promise<Advance> {
    const place = await this.#seats.take(run, this.#kept.get(run)?.project);
    if (!place) {
      if (this.#closing) throw new RunBusyError(run);
      return { next: "wait", delayMs: limits.paceComeBackMs };
    }
    this.#working.add(run);
    try {
      return await this.#advance(run, stopped, place);
    } finally {
      this.#working.delete(run);
      place.seat?.leave();
    }
  }

  async #advance(id: string, stopped: AbortSignal, place: Place): Promise<Advance> {
    const claim = await this.#parts.runs.claim(id);
    if ("ended" in claim) return { next: "nothing" };
    if ("waiting" in claim)
      return claim.wakeInMs === undefined ? { next: "nothing" } : { next: "wait", delayMs: claim.wakeInMs };
    const run = claim.claimed;
    try {
      return await this.#step(run, stopped, place);
    } catch (error) {
      this.#kept.delete(id);
      if (error instanceof StepError) return this.#endedBy(run, error, stopped);
      if (error instanceof RunBusyError) {
        if (this.#closing) await this.#parts.runs.release(run).catch(() => {});
        throw error;
      }
      if (isRowRefused(error)) return this.#endedBy(run, unstorable(error as Error), stopped);
      // It was not foreseen: it may pass (a database that restarts), and if it does not, the run must not go on for ever.
      this.#with.log.error({ run: id, err: error }, "a step failed unexpectedly");
      const message = `Lineshaft failed at this step: ${(error as Error).message}`;
      const unforeseen = new StepError("internal_error", message, { retryAfterMs: limits.retryFirstMs, cause: error });
      return this.#endedBy(run, unforeseen, stopped);
    }
  }

  async #step(run: ClaimedRun, stopped: AbortSignal, place: Place): Promise<Advance> {
    const principal = await this.#principalOf(run);
    const state = await this.#load(run);
    if (run.nextStep === 0) await this.#begin(run, state);
    if (state.steps.at(-1)?.kind === "wait")
      this.#performer.tell(run, state, { type: "tool_ended", program: run.id, tool: "wait" });
    const check = checksOf(run.organisation);
    let action = await next(state, check);
    if (action.type !== "finish" && action.type !== "fail") {
      const waitedMs = await this.#seats.change(place, run, action);
      if (waitedMs === undefined) return this.#putDown(run, state);
      if (waitedMs > 0) await this.#parts.runs.pause(run, waitedMs);
      // A wait may take a minute, and the key may have been revoked meanwhile.
      const acting = waitedMs > 0 ? await this.#principalOf(run) : principal;
      const done = await this.#performer.perform(
        { ...run, principal: acting },
        state,
        action,
        this.#deadline(run, state, stopped),
      );
      if (done.failure) {
        await this.#end(run, state, { code: done.failure.code, message: done.failure.message, done });
        return { next: "nothing" };
      }
      await this.#parts.runs.commitStep(run, done.row, done);
      state.steps.push(done.result);
      this.#parts.changed(run, done.row.number);
      if (done.waitUntil) return { next: "wait", delayMs: Math.max(0, done.waitUntil.getTime() - Date.now()) };
      action = await next(state, check);
      if (action.type !== "finish" && action.type !== "fail") {
        this.#keep(run, state);
        return { next: "step", step: done.row.number, ref: done.row.outputRef };
      }
    }
    if (action.type === "fail") await this.#end(run, state, { code: action.code, message: action.message });
    else await this.#end(run, state, { outputRef: await putBlob(this.#with.db, run.project, action.output) });
    return { next: "nothing" };
  }

  /** No seat came in time: the run is free for its next turn, which finds its place and its state again. */
  async #putDown(run: ClaimedRun, state: RunState): Promise<Advance> {
    if (this.#closing) throw new RunBusyError(run.id);
    await this.#parts.runs.release(run);
    this.#keep(run, state);
    return { next: "wait", delayMs: limits.paceComeBackMs };
  }

  /** The money limit of a run is a budget of its own, there before its first call, so that the ledger itself refuses. */
  async #begin(run: ClaimedRun, state: RunState): Promise<void> {
    const { money } = state.published.manifest.limits;
    if (money !== undefined)
      await this.#with.ledger.setBudget({
        organisation: run.organisation,
        scope: { kind: "run", id: run.id },
        currency: run.currency,
        limitNano: parseMoney(money),
        period: "total",
        fresh: true,
      });
    this.#parts.changed(run, undefined);
  }

  // --- state -----------------------------------------------------------------------------------------------------------

  /** The principal that the run acts as in this step. Throws StepError once the key that started it is revoked. */
  async #principalOf(run: ClaimedRun): Promise<RunPrincipal> {
    const principal = await principalOfRun(this.#with.db, run);
    if (principal) return principal;
    throw new StepError("key_revoked", "The key that started the run has been revoked.");
  }

  async #load(run: ClaimedRun): Promise<RunState> {
    await this.#with.gateway.flushed();
    const kept = this.#kept.get(run.id);
    this.#kept.delete(run.id);
    if (kept && kept.fence === run.fence - 1n && kept.state.steps.length === run.nextStep) {
      if (kept.state.published.manifest.limits.tokens !== undefined)
        kept.state.tokensUsed = await this.#parts.runs.tokensUsed(run.id);
      return kept.state;
    }
    const [published, input, steps, tokensUsed] = await Promise.all([
      this.#parts.runs.published(run),
      this.#parts.runs.input(run),
      this.#parts.runs.steps(run.id, run.project),
      this.#parts.runs.tokensUsed(run.id),
    ]);
    return { run: run.id, published, input, steps, tokensUsed };
  }

  #keep(run: ClaimedRun, state: RunState): void {
    this.#kept.set(run.id, { fence: run.fence, project: run.project, state });
  }

  /** Aborts when the run is stopped, when its time is over, or when one step takes longer than any may. */
  #deadline(run: ClaimedRun, state: RunState, stopped: AbortSignal): AbortSignal {
    const { seconds } = state.published.manifest.limits;
    const leftMs = run.startedAt.getTime() + run.pausedMs + seconds * 1000 - Date.now();
    const late = new StepError("limit_seconds", `The run took longer than the ${seconds} s its manifest allows.`);
    if (leftMs <= 0) throw late;
    const time = new AbortController();
    const slow = new StepError("step_timeout", `The step took longer than ${limits.modelStepMs / 1000} s.`);
    setTimeout(
      () => time.abort(leftMs <= limits.modelStepMs ? late : slow),
      Math.min(leftMs, limits.modelStepMs),
    ).unref();
    return AbortSignal.any([stopped, time.signal]);
  }

  async #end(
    run: ClaimedRun,
    state: RunState | undefined,
    how: { outputRef: string } | { code: string; message: string; done?: Done },
  ): Promise<void> {
    const ended =
      "outputRef" in how
        ? await this.#parts.runs.end(run, { status: "completed", outputRef: how.outputRef })
        : await this.#parts.runs.end(run, {
            status: "failed",
            code: how.code,
            message: how.message,
            ...(how.done && { step: how.done.row }),
            ...(how.done?.along && { along: how.done.along }),
          });
    if (!ended) return;
    if (state) this.#performer.tell(run, state, { type: "run_ended", program: run.id });
    this.#parts.changed(run, "done" in how ? how.done?.row.number : undefined);
  }

  /** A step could not be done: the run waits and tries again, waits for a person, or fails. */
  async #endedBy(run: ClaimedRun, error: StepError, stopped: AbortSignal): Promise<Advance> {
    if (stopped.aborted && error.code === "stopped") return { next: "nothing" };
    if (error.code === "effect_unknown") {
      await this.#parts.runs.wait(run, { code: error.code, message: error.message, wakeInMs: undefined });
    } else if (error.retryAfterMs !== undefined && (error.patient || run.retries < limits.retries)) {
      const delayMs = retryDelay(run.retries, error.retryAfterMs);
      await this.#parts.runs.wait(run, { code: error.code, message: error.message, wakeInMs: delayMs });
      this.#parts.changed(run, undefined);
      return { next: "wait", delayMs };
    } else {
      await this.#end(run, undefined, { code: error.code, message: error.message });
    }
    this.#parts.changed(run, undefined);
    return { next: "nothing" };
  }
}

/** The result of a step cannot be stored (too deep, out of range). A retry would bring the same result, so the run ends. */
function unstorable(cause: Error): StepError {
  return new StepError(
    "step_unstorable",
    `What this step brought cannot be stored (${cause.message}). Look at what its model or tool answers, then start another run.`,
    { cause },
  );
}

/** Doubles from the first pause to the longest, and is never shorter than what was asked for. */
function retryDelay(retries: number, askedMs: number): number {
  return Math.max(askedMs, Math.min(limits.retryMostMs, limits.retryFirstMs * 2 ** retries));
}
