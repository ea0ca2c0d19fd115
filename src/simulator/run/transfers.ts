// KV on its way: from the replica that prefilled a prompt to the one that decodes, and from the memory of a conversation's last replica
// into the store that it shares with the next one. How long both take is modelled here; the scheduler decides that they happen.
import type { Engine } from "../engine/engine.ts";
import type { Fleet } from "../fleet.ts";
import type { Attempt } from "./attempt.ts";
import { Network } from "./network.ts";

export class Transfers {
  readonly #network: Network;
  readonly #fleet: Fleet;
  readonly #engines: readonly Engine[];
  /** Attempts whose KV is on its way to the decoder. */
  readonly #pulling = new Set<Attempt>();
  /** Attempts whose conversation's state is being written, and the replica that writes it. */
  readonly #bringing = new Map<Attempt, number>();
  /** By replica: when it has written what it was asked for before. */
  readonly #writerFreeMs: Float64Array;

  constructor(fleet: Fleet, engines: readonly Engine[]) {
    this.#fleet = fleet;
    this.#engines = engines;
    this.#network = new Network(engines.length);
    this.#writerFreeMs = new Float64Array(engines.length);
  }

  /** Begins to pull an attempt's KV; answers when it will have arrived. */
  pull(attempt: Attempt, nowMs: number): number {
    this.#pulling.add(attempt);
    const from = this.#engines[attempt.prefiller]!;
    const to = this.#engines[attempt.decoder]!;
    return this.#network.transferEndMs(from, to, attempt.sim, nowMs);
  }

  /** The KV has arrived. False when the transfer was given up meanwhile. */
  pulled(attempt: Attempt): boolean {
    return this.#pulling.delete(attempt);
  }

  /** Begins to write `tokens` of a conversation's state at `replica`, between two of its steps; answers when they are written. */
  bring(attempt: Attempt, replica: number, tokens: number, nowMs: number): number {
    const { saveMsPerToken, tier } = this.#fleet.replicas[replica]!.store!;
    const fromMs = Math.max(this.#engines[replica]!.boundaryMs(nowMs), this.#writerFreeMs[replica]!);
    const endMs = fromMs + tier.latencyMs + saveMsPerToken * tokens;
    this.#writerFreeMs[replica] = endMs;
    this.#bringing.set(attempt, replica);
    return endMs;
  }

  /** The state is written, as far as the replica still has it. False when the attempt was given up meanwhile. */
  brought(attempt: Attempt): boolean {
    const replica = this.#bringing.get(attempt);
    if (replica === undefined) return false;
    this.#bringing.delete(attempt);
    this.#engines[replica]!.cache.share(attempt.sim.blocks);
    return true;
  }

  /** The attempt is over, or computes its prompt at the decoder after all. */
  giveUp(attempt: Attempt): void {
    this.#pulling.delete(attempt);
    this.#bringing.delete(attempt);
  }

  /** Attempts with anything on its way to or from `replica`, or that wait for a state to be brought to it. */
  at(replica: number): Attempt[] {
    const touches = ({ prefiller, decoder }: Attempt): boolean => prefiller === replica || decoder === replica;
    return [...this.#pulling, ...this.#bringing.keys()].filter(touches);
  }
}
