// The network between replicas: what it takes to bring a prompt's KV from where it was prefilled to where it will be decoded.
// A transfer runs at the slower of the two replicas' links, and a replica's link carries one call at a time.
import type { Engine } from "../engine/engine.ts";
import { SimulatorError, type SimCall } from "../types.ts";

export class Network {
  readonly #linkFreeMs: Float64Array;

  constructor(replicas: number) {
    this.#linkFreeMs = new Float64Array(replicas);
  }

  /**
   * Books both links and answers when the KV has arrived. Blocks that the target holds on its device are not sent.
   * @throws SimulatorError `profile_without_network`
   */
  transferEndMs(from: Engine, to: Engine, call: SimCall, nowMs: number): number {
    const source = from.profile.network;
    const target = to.profile.network;
    if (source === undefined || target === undefined) {
      throw new SimulatorError(
        "profile_without_network",
        `Profile ${(source === undefined ? from : to).profile.name} says nothing about its network, which prefill and decode apart need.`,
        'Add "network": {"gigabytesPerSecond": ..., "latencyMs": ...} to the profile.',
      );
    }
    const held = to.cache.matchDevice(call.blocks) * to.cache.blockTokens;
    const bytes = Math.max(0, call.promptTokens - held) * from.profile.kvBytesPerToken;
    const bandwidth = Math.min(source.gigabytesPerSecond, target.gigabytesPerSecond);
    const startMs = Math.max(nowMs, this.#linkFreeMs[from.id]!, this.#linkFreeMs[to.id]!);
    const endMs = startMs + Math.max(source.latencyMs, target.latencyMs) + bytes / (bandwidth * 1e6);
    this.#linkFreeMs[from.id] = endMs;
    this.#linkFreeMs[to.id] = endMs;
    return endMs;
  }
}
