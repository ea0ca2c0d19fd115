// The scheduler's metrics: queues, load of endpoints, working sets and the prefix index, read from the scheduler when metrics are
// requested.
import type { Registry } from "prom-client";
import { readings } from "./readings.ts";

/** What the scheduler is asked for metrics. */
export interface SchedulerNumbers {
  waiting: readonly { model: string; calls: number; tokens: number }[];
  endpoints: readonly { engine: string; prefillTokens: number; kvTokens: number }[];
  workingSets: readonly { model: string; load: number; paused: number }[];
  index: { blocks: number; bytes: number };
}

/** Registers the scheduler's metrics. Queues and endpoints are absent, and the index is empty, until `readBy` has named the source. */
export function schedulerMetrics(registry: Registry): { readBy(read: () => SchedulerNumbers): void } {
  const { gauge } = readings(registry);
  let scheduler: () => SchedulerNumbers = () => ({
    waiting: [],
    endpoints: [],
    workingSets: [],
    index: { blocks: 0, bytes: 0 },
  });
  gauge("lineshaft_queue_calls", "Calls that wait for their turn, by model", ["model"], (add) => {
    for (const { model, calls } of scheduler().waiting) add({ model }, calls);
  });
  gauge("lineshaft_queue_tokens", "Tokens that waiting calls will be charged, by model", ["model"], (add) => {
    for (const { model, tokens } of scheduler().waiting) add({ model }, tokens);
  });
  gauge(
    "lineshaft_prefill_tokens_waiting",
    "Prompt tokens placed and not yet computed, by engine",
    ["engine"],
    (add) => {
      for (const { engine, prefillTokens } of scheduler().endpoints) add({ engine }, prefillTokens);
    },
  );
  gauge("lineshaft_kv_tokens_in_use", "Tokens of KV that calls under way hold, by engine", ["engine"], (add) => {
    for (const { engine, kvTokens } of scheduler().endpoints) add({ engine }, kvTokens);
  });
  gauge("lineshaft_working_set_share", "Share of the KV that live programs need, by model", ["model"], (add) => {
    for (const { model, load } of scheduler().workingSets) add({ model }, load);
  });
  gauge(
    "lineshaft_programs_paused",
    "Programs that wait until the KV has room for them, by model",
    ["model"],
    (add) => {
      for (const { model, paused } of scheduler().workingSets) add({ model }, paused);
    },
  );
  gauge("lineshaft_prefix_index_blocks", "Distinct KV blocks known to be cached somewhere", [], (add) =>
    add({}, scheduler().index.blocks),
  );
  gauge("lineshaft_prefix_index_bytes", "Memory of the prefix index", [], (add) => add({}, scheduler().index.bytes));
  return { readBy: (read) => void (scheduler = read) };
}
