// An attempt at its replicas, in one leg or in two: what it is given there, what must be brought or pulled first, and what happens when a
// replica dies meanwhile. The scheduler decides each of these steps; here they are carried out on modelled engines and networks.
import type { Decision, PdAction, PdEvent } from "../../scheduler/index.ts";
import type { Engine } from "../engine/engine.ts";
import { newTask, type Task } from "../engine/task.ts";
import type { EventQueue } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import type { Attempt } from "./attempt.ts";
import * as kind from "./kinds.ts";
import { Transfers } from "./transfers.ts";

interface LegsHost {
  /** The attempt's gateway is told what has happened to its legs. */
  split(attempt: Attempt, event: PdEvent): void;
  /** The attempt's decoder has died before it could be given the call. */
  lost(attempt: Attempt): void;
}

export class Legs {
  readonly #engines: readonly Engine[];
  readonly #queue: EventQueue;
  readonly #transfers: Transfers;
  readonly #host: LegsHost;
  /** By replica: whether it is dead now. */
  readonly #dead: boolean[];

  constructor(fleet: Fleet, engines: readonly Engine[], queue: EventQueue, host: LegsHost) {
    this.#engines = engines;
    this.#queue = queue;
    this.#transfers = new Transfers(fleet, engines);
    this.#host = host;
    this.#dead = engines.map(() => false);
  }

  /** The replica serves from now on. */
  joined(replica: number): void {
    this.#dead[replica] = false;
  }

  /** The attempt has been placed: it is given to its replica, once the state is there that the decision counts on. */
  begin(attempt: Attempt, { bring }: Decision, numberOf: (endpoint: string) => number): void {
    if (bring === undefined) return this.#send(attempt);
    const endMs = this.#transfers.bring(attempt, numberOf(bring.endpoint), bring.tokens, this.#queue.nowMs);
    this.#queue.schedule(endMs, kind.brought, attempt.sim.index, attempt.number);
  }

  /** A state that an attempt waited for has been written. */
  brought(attempt: Attempt): void {
    if (this.#transfers.brought(attempt)) this.#send(attempt);
  }

  /** A prefill leg has computed the prompt. */
  computed(attempt: Attempt, { cachedTokens }: Task): void {
    // What is lent to the decoder lies in a shared store for all others too.
    this.#engines[attempt.prefiller]!.cache.share(attempt.sim.blocks);
    const computedTokens = attempt.promptTokens - cachedTokens;
    this.#host.split(attempt, { type: "prefill_done", cachedTokens, computedTokens });
  }

  /** KV that was on its way has arrived at the decoder. */
  pulled(attempt: Attempt): void {
    if (!this.#transfers.pulled(attempt)) return;
    this.#host.split(attempt, { type: "decode_accepted" });
    this.#host.split(attempt, { type: "pulled", tokens: attempt.promptTokens });
    attempt.task = newTask(attempt.sim, "decode", attempt.sim.index);
    this.#engines[attempt.decoder]!.enqueue(attempt.task);
  }

  /** Moves a call in two legs on. `pd_prefill` says what `begin` does: the leg may have to wait for a state that is brought first. */
  move(attempt: Attempt, action: PdAction): void {
    if (action.type === "pd_decode") {
      if (this.#dead[attempt.decoder]) return this.#host.lost(attempt);
      const endMs = this.#transfers.pull(attempt, this.#queue.nowMs);
      this.#queue.schedule(endMs, kind.pulled, attempt.sim.index, attempt.number);
    } else if (action.type === "pd_recompute") {
      attempt.task = newTask(attempt.sim, "both", attempt.sim.index);
      this.#engines[attempt.decoder]!.enqueue(attempt.task);
    } else if (action.type === "pd_release" || (action.type === "pd_abort" && action.leg === "prefill")) {
      this.#endLease(attempt);
    } else if (action.type === "pd_abort") this.#transfers.giveUp(attempt);
  }

  /** The attempt is over, however it ended. */
  over(attempt: Attempt): void {
    this.#transfers.giveUp(attempt);
    this.#endLease(attempt);
  }

  /** The attempt is stopped before its first token: its replicas do no more for it. */
  stop({ task, decoder, prefillTask, prefiller }: Attempt): void {
    if (task !== undefined) this.#engines[decoder]!.giveUp(task);
    if (prefillTask !== undefined) this.#engines[prefiller]!.giveUp(prefillTask);
  }

  /** The replica is dead: nothing can be given to it. */
  died(replica: number): void {
    this.#dead[replica] = true;
  }

  /**
   * The tasks that were inside a dead replica are lost. Prompts that were to be prefilled there are computed at their decoders. Answers the
   * attempts that were to decode there.
   */
  lostAt(replica: number, tasks: readonly Task[], attemptOf: (task: Task) => Attempt | undefined): Attempt[] {
    const lost = new Set<Attempt>();
    const waiting = this.#transfers.at(replica);
    for (const task of tasks) {
      const attempt = attemptOf(task);
      if (attempt === undefined) continue;
      if (attempt.task === task) lost.add(attempt);
      else this.#prefillLost(attempt);
    }
    for (const attempt of waiting) {
      if (attempt.decoder === replica) lost.add(attempt);
      else if (attempt.prefillTask === undefined && attempt.task === undefined) this.#prefillLost(attempt);
    }
    return [...lost];
  }

  #prefillLost(attempt: Attempt): void {
    const pulling = this.#transfers.pulled(attempt);
    this.#transfers.giveUp(attempt);
    this.#host.split(attempt, pulling ? { type: "pulled", tokens: 0 } : { type: "prefill_failed", retryable: true });
  }

  /** Gives the attempt to its replica: the prefiller where it has one. */
  #send(attempt: Attempt): void {
    const { sim, decoder, prefiller } = attempt;
    if (prefiller < 0) {
      attempt.task = newTask(sim, "both", sim.index);
      this.#engines[decoder]!.enqueue(attempt.task);
    } else {
      attempt.prefillTask = newTask(sim, "prefill", sim.index);
      this.#engines[prefiller]!.enqueue(attempt.prefillTask);
    }
  }

  /** Nothing more is wanted of the attempt's prefill leg: its KV may go, now or when it is computed. */
  #endLease(attempt: Attempt): void {
    const task = attempt.prefillTask;
    if (task === undefined) return;
    attempt.prefillTask = undefined;
    this.#engines[attempt.prefiller]!.endLease(task);
  }
}
