// How a step's prompt tokens are shared between calls that prefill, for engines that do not simply serve the first: the oldest and
// those nearest to their first token get a chunk each, small while others decode, large while none does (the embedded engine).
import type { EngineProfile } from "./profile.ts";
import type { Task } from "./task.ts";

/** Sets `chunk` on the tasks that get one; the others keep 0. `prefilling` is in order of admission. */
export function shareOut(
  prefilling: readonly Task[],
  decoding: number,
  nowMs: number,
  chunking: NonNullable<EngineProfile["chunking"]>,
): void {
  const ready = prefilling.filter((task) => task.readyMs <= nowMs);
  const [oldest, ...others] = ready;
  if (oldest === undefined) return;
  const pending = (task: Task): number => task.target - task.done;
  const nearest = others.toSorted((a, b) => pending(a) - pending(b) || a.order - b.order);
  const chosen = [oldest, ...nearest.slice(0, chunking.callsPerStep - 1)];
  const chunk = decoding > 0 ? chunking.busyTokens : chunking.idleTokens;
  const each = chosen.length === 1 && decoding === 0 ? chunk * chunking.callsPerStep : chunk;
  for (const task of chosen) task.chunk = Math.min(pending(task), each);
}
