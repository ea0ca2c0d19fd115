// How a call's limits stand, in the headers that clients of OpenAI (`x-ratelimit-*`) and of Anthropic (`anthropic-ratelimit-*`) read. Where
// several limits of one unit apply, the nearest one is told. What is left is as this process knows it: other processes' use since they
// last spoke to the database is not in it.
import type { Part } from "./share.ts";
import { windows } from "./types.ts";

export function limitHeaders(parts: readonly Part[], now = Date.now()): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const unit of ["requests", "tokens"] as const) {
    const nearest = nearestOf(parts, unit);
    if (!nearest) continue;
    const { share } = nearest;
    const limit = String(share.amount);
    const left = String(share.left());
    const resetMs = share.fullAfterMs();
    headers[`x-ratelimit-limit-${unit}`] = limit;
    headers[`x-ratelimit-remaining-${unit}`] = left;
    headers[`x-ratelimit-reset-${unit}`] = durationText(resetMs);
    headers[`anthropic-ratelimit-${unit}-limit`] = limit;
    headers[`anthropic-ratelimit-${unit}-remaining`] = left;
    headers[`anthropic-ratelimit-${unit}-reset`] = new Date(now + resetMs).toISOString();
  }
  return headers;
}

function nearestOf(parts: readonly Part[], unit: "requests" | "tokens"): Part | undefined {
  let nearest: Part | undefined;
  for (const part of parts) {
    if (windows[part.limit.dimension].unit !== unit) continue;
    if (!nearest || shareLeft(part) < shareLeft(nearest)) nearest = part;
  }
  return nearest;
}

const shareLeft = ({ share }: Part): number => share.left() / Math.max(1, share.amount);

/** A duration as OpenAI writes it: `120ms`, `1.5s`, `6m0s`, `23h59m0s`. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)}ms`;
  if (ms < 60_000) return `${Math.ceil(ms / 100) / 10}s`;
  const seconds = Math.ceil(ms / 1_000);
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor((seconds % 3_600) / 60);
  return `${hours > 0 ? `${hours}h` : ""}${minutes}m${seconds % 60}s`;
}
