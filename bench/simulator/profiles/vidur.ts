// Profiles from Vidur's operator measurements (kernel times by batch size and tensor-parallel width, and collective times by
// size). Vidur's files lack attention kernels: attention comes from the roofline (bytes of KV over achieved bandwidth, operations
// over achieved arithmetic), where both achieved rates are read off the measured kernels of the same chip.
import { nonNegativeFit, type LinearRow } from "../../../src/simulator/fit.ts";
import { readLines } from "../../../src/simulator/traces/files.ts";
import { SimulatorError } from "../../../src/simulator/types.ts";
import { profileSchema, type EngineProfile } from "../../../src/simulator/engine/profile.ts";
import type { ChipData, ModelData } from "./derive.ts";

/** Time of all operators of one layer without attention, by number of tokens. */
export interface LayerTimes {
  tokens: number;
  ms: number;
}

const operators = [
  "input_layernorm",
  "attn_pre_proj",
  "attn_rope",
  "attn_post_proj",
  "post_attention_layernorm",
  "mlp_up_proj",
  "mlp_act",
  "mlp_down_proj",
  "add",
];

/** Reads an `mlp.*.csv[.gz]` for one tensor-parallel width. Throws SimulatorError `trace_unreadable` if a column is missing. */
export async function readLayerTimes(path: string, width: number): Promise<LayerTimes[]> {
  const rows = await readCsv(path);
  return rows
    .filter((row) => Number(row["num_tensor_parallel_workers"]) === width)
    .map((row) => ({
      tokens: Number(row["num_tokens"]),
      ms: operators.reduce((sum, operator) => sum + column(row, `time_stats.${operator}.median`, path), 0),
    }))
    .toSorted((a, b) => a.tokens - b.tokens);
}

/** Reads an `all_reduce.*.csv[.gz]`: time by bytes for one number of workers, all in one node. */
export async function readAllReduce(path: string, workers: number): Promise<{ bytes: number; ms: number }[]> {
  const rows = await readCsv(path);
  return rows
    .filter((row) => Number(row["num_workers"]) === workers && Number(row["devices_per_node"]) === workers)
    .map((row) => ({ bytes: Number(row["size"]), ms: column(row, "time_stats.all_reduce.median", path) }))
    .toSorted((a, b) => a.bytes - b.bytes);
}

async function readCsv(path: string): Promise<Record<string, string>[]> {
  let names: string[] | undefined;
  const rows: Record<string, string>[] = [];
  for await (const line of readLines(path)) {
    const cells = line.split(",");
    if (names === undefined) names = cells;
    else rows.push(Object.fromEntries(names.map((name, i) => [name, cells[i] ?? ""])));
  }
  return rows;
}

function column(row: Record<string, string>, name: string, path: string): number {
  if (!(name in row))
    throw new SimulatorError("trace_unreadable", `${path} has no column ${name}.`, "Give a Vidur profile.");
  return Number(row[name]);
}

export interface VidurOptions {
  chip: ChipData;
  model: ModelData;
  width: number;
  hiddenSize: number;
  layers: readonly LayerTimes[];
  allReduce: readonly { bytes: number; ms: number }[];
  maxBatchTokens: number;
  maxSequences: number;
  source: string;
}

/** Fits the step model to measured operators; answers the profile and the mean relative error over batch sizes. */
export function profileFromVidur(options: VidurOptions): { profile: EngineProfile; error: number } {
  const { chip, model, width } = options;
  const steps = options.layers
    .filter((row) => row.tokens <= options.maxBatchTokens)
    .map((row) => {
      const reduceMs = width === 1 ? 0 : 2 * interpolate(options.allReduce, row.tokens * options.hiddenSize * 2);
      return { tokens: row.tokens, ms: model.layers * (row.ms + reduceMs) };
    });
  let best: { x: number[]; free: number; error: number } | undefined;
  for (let free = 0; free <= 512; free += 32) {
    const rows: LinearRow[] = steps.map((step) => ({ features: [1, Math.max(0, step.tokens - free)], value: step.ms }));
    const x = nonNegativeFit(rows, 2);
    const error = steps.reduce((sum, step, i) => {
      const predicted = x[0]! * rows[i]!.features[0]! + x[1]! * rows[i]!.features[1]!;
      return sum + Math.abs(predicted - step.ms) / step.ms / steps.length;
    }, 0);
    if (best === undefined || error < best.error) best = { x, free, error };
  }
  const [baseMs, tokenMs] = best!.x as [number, number];
  // Achieved rates: arithmetic from the slope, bandwidth from the smallest batch, which only reads weights.
  const arithmetic = (2 * model.billionActive * 1e9) / tokenMs;
  const weightBytes = model.billionParameters * 1e9 * model.bytesPerParameter;
  const smallest = options.layers[0]!.ms * model.layers;
  const bandwidth = Math.min(weightBytes / smallest, chip.memoryGigabytesPerSecond * 1e6 * width);
  const freeBytes = chip.memoryGigabytes * 1e9 * width * 0.9 - weightBytes;
  const profile = profileSchema.parse({
    name: `${model.name} on ${width} x ${chip.name}`,
    model: model.name,
    chip: chip.name,
    chips: width,
    step: {
      baseMs: round(baseMs),
      freeTokens: best!.free,
      tokenMs: round(tokenMs),
      sequenceMs: 0.02,
      kvReadMsPerToken: round(model.kvBytesPerToken / bandwidth),
      attentionMsPerPair: round((4 * model.layers * model.attentionWidth) / arithmetic),
    },
    callOverheadMs: 20,
    maxBatchTokens: options.maxBatchTokens,
    maxSequences: options.maxSequences,
    kvCapacityTokens: Math.floor(freeBytes / model.kvBytesPerToken),
    kvBytesPerToken: model.kvBytesPerToken,
    network: { gigabytesPerSecond: chip.networkGigabytesPerSecond * width, latencyMs: 1 },
    startUpMs: 180_000,
    pricePerChipHour: chip.pricePerHour,
    source: options.source,
  });
  return { profile, error: best!.error };
}

function round(value: number): number {
  return Number(value.toPrecision(5));
}

/** Linear between measured sizes, proportional beyond the largest. */
function interpolate(rows: readonly { bytes: number; ms: number }[], bytes: number): number {
  const last = rows[rows.length - 1];
  if (last === undefined) return 0;
  if (bytes >= last.bytes) return (last.ms * bytes) / last.bytes;
  const next = rows.findIndex((row) => row.bytes >= bytes);
  if (next <= 0) return rows[0]!.ms;
  const a = rows[next - 1]!;
  const b = rows[next]!;
  return a.ms + ((b.ms - a.ms) * (bytes - a.bytes)) / Math.max(1, b.bytes - a.bytes);
}
