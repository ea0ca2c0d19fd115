// vLLM's events as the seam has them: hashes in hex, cache salts instead of vLLM's own, and no events of other adapters.
import type { VllmEvent } from "./kvWire.ts";
import type { KvEvent } from "../kv.ts";

/** An event that has not been numbered yet. */
export type KvChange = Omit<KvEvent, "epoch" | "sequence">;

interface Translation {
  /** Name of the adapter (LoRA) that our calls use; undefined for the base model. */
  adapter?: string | undefined;
  /** Whose salt it is. */
  ownerOf(salt: string): string;
}

const hex = (hash: bigint): string => hash.toString(16).padStart(16, "0");

/** Undefined for blocks of another adapter on the same base model, which no call of this endpoint can use. */
export function translate(event: VllmEvent, { adapter, ownerOf }: Translation): KvChange | undefined {
  if (event.type === "cleared") return { type: "cleared" };
  const { tier = "device", parent, tokens, salt } = event;
  const blocks = event.blocks!.map(hex);
  if (event.type === "removed") return { type: "removed", tier, blocks };
  if (event.lora !== adapter) return undefined;
  return {
    type: "stored",
    tier,
    blocks,
    parent: parent === null || parent === undefined ? null : hex(parent),
    ...(tokens && { tokens }),
    ...(salt !== undefined && { salt: ownerOf(salt) }),
  };
}
