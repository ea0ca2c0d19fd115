// The load that placed calls put on endpoints: one handle for a call, two while it is prefilled elsewhere.
import type { LoadHandle, LoadView } from "../../scheduler/index.ts";
import type { SimulatedEndpoint } from "./scraped.ts";

export class Legs {
  readonly #loads: LoadView;
  /** By call: of the whole call, or of its decode leg when there is a prefill leg. */
  readonly #handles: (LoadHandle | undefined)[];
  readonly #prefills: (LoadHandle | undefined)[];

  constructor(loads: LoadView, calls: number) {
    this.#loads = loads;
    this.#handles = Array.from({ length: calls });
    this.#prefills = Array.from({ length: calls });
  }

  open(call: number, at: SimulatedEndpoint, prefillTokens: number, promptTokens: number, nowMs: number): void {
    this.#handles[call] = this.#loads.open(at.spec.id, 0, prefillTokens, promptTokens, nowMs);
  }

  openPrefill(call: number, at: SimulatedEndpoint, prefillTokens: number, promptTokens: number, nowMs: number): void {
    this.#prefills[call] = this.#loads.open(at.spec.id, 0, prefillTokens, promptTokens, nowMs);
  }

  /** The prompt is computed, where it was to be. */
  prefilled(call: number, nowMs: number): void {
    (this.#prefills[call] ?? this.#handles[call])?.prefilled(nowMs);
  }

  /** The decoder has the KV: only its own leg is left. */
  pulled(call: number, nowMs: number): void {
    this.#prefills[call]?.close();
    this.#prefills[call] = undefined;
    this.#handles[call]?.prefilled(nowMs);
  }

  close(call: number): void {
    this.#handles[call]?.close();
    this.#handles[call] = undefined;
    this.#prefills[call]?.close();
    this.#prefills[call] = undefined;
  }
}
