// Derives a replica's profile from a chip's data sheet, a model's shape and four efficiencies. It is a roofline: weights and
// KV are read at memory bandwidth, matrix products run at peak arithmetic, both times an efficiency that calibration fits;
// a step also pays fixed time for each layer (kernel launches and, with tensor parallelism, all-reduces).
import type { EngineProfile } from "../../../src/simulator/engine/profile.ts";

/** A chip, from its data sheet. */
export interface ChipData {
  name: string;
  /** Dense half-precision arithmetic, 10^12 operations a second. */
  teraflops: number;
  memoryGigabytes: number;
  memoryGigabytesPerSecond: number;
  pricePerHour: number;
  /** Network of one chip for KV transfers, GB/s. */
  networkGigabytesPerSecond: number;
}

/** A dense transformer's shape. */
export interface ModelData {
  name: string;
  /** Parameters, 10^9. */
  billionParameters: number;
  /** Parameters active per token, 10^9 (the same for dense models). */
  billionActive: number;
  layers: number;
  /** Query heads x head size: width of attention. */
  attentionWidth: number;
  kvBytesPerToken: number;
  bytesPerParameter: number;
}

/** What calibration fits; one set for a chip kind serves every model on it. */
export interface Efficiencies {
  /** Achieved share of peak arithmetic in prefill. */
  compute: number;
  /** Achieved share of memory bandwidth when reading weights and KV. */
  bandwidth: number;
  /** Fixed time of one layer in one step, ms. */
  layerMs: number;
  /** Time of a call beside its tokens, ms. */
  callOverheadMs: number;
  /** Scheduling and sampling, per sequence and step, ms. */
  sequenceMs: number;
}

export const chips = {
  "a100-80g": {
    name: "A100 80 GB",
    teraflops: 312,
    memoryGigabytes: 80,
    memoryGigabytesPerSecond: 2039,
    pricePerHour: 1.6,
    networkGigabytesPerSecond: 25,
  },
  "h100-80g": {
    name: "H100 80 GB",
    teraflops: 989,
    memoryGigabytes: 80,
    memoryGigabytesPerSecond: 3350,
    pricePerHour: 2.5,
    networkGigabytesPerSecond: 50,
  },
} as const satisfies Record<string, ChipData>;

export const models = {
  "llama-3.1-8b": {
    name: "Llama 3.1 8B",
    billionParameters: 8.03,
    billionActive: 8.03,
    layers: 32,
    attentionWidth: 4096,
    kvBytesPerToken: 2 * 32 * 8 * 128 * 2,
    bytesPerParameter: 2,
  },
  "llama-3.1-70b": {
    name: "Llama 3.1 70B",
    billionParameters: 70.6,
    billionActive: 70.6,
    layers: 80,
    attentionWidth: 8192,
    kvBytesPerToken: 2 * 80 * 8 * 128 * 2,
    bytesPerParameter: 2,
  },
  "qwen3-32b": {
    name: "Qwen3 32B",
    billionParameters: 32.8,
    billionActive: 32.8,
    layers: 64,
    attentionWidth: 64 * 128,
    kvBytesPerToken: 2 * 64 * 8 * 128 * 2,
    bytesPerParameter: 2,
  },
} as const satisfies Record<string, ModelData>;

export interface DeriveOptions {
  chip: ChipData;
  model: ModelData;
  chips: number;
  efficiencies: Efficiencies;
  kvCapacityTokens?: number;
  maxBatchTokens?: number;
  maxSequences?: number;
  source: string;
}

/** The profile of one replica. Without a stated KV capacity, 90 % of memory less the weights holds KV. */
export function deriveProfile(options: DeriveOptions): EngineProfile {
  const { chip, model, efficiencies } = options;
  const bandwidth = chip.memoryGigabytesPerSecond * 1e6 * efficiencies.bandwidth * options.chips; // bytes per ms
  const arithmetic = chip.teraflops * 1e9 * efficiencies.compute * options.chips; // operations per ms
  const weightBytes = model.billionParameters * 1e9 * model.bytesPerParameter;
  const tokenMs = (2 * model.billionActive * 1e9) / arithmetic;
  const weightMs = weightBytes / bandwidth;
  const freeBytes = chip.memoryGigabytes * 1e9 * options.chips * 0.9 - weightBytes;
  return {
    name: `${model.name} on ${options.chips} x ${chip.name}`,
    model: model.name,
    chip: chip.name,
    chips: options.chips,
    step: {
      baseMs: weightMs + model.layers * efficiencies.layerMs,
      freeTokens: Math.round(weightMs / tokenMs),
      tokenMs,
      sequenceMs: efficiencies.sequenceMs,
      kvReadMsPerToken: model.kvBytesPerToken / bandwidth,
      attentionMsPerPair: (4 * model.layers * model.attentionWidth) / arithmetic,
    },
    callOverheadMs: efficiencies.callOverheadMs,
    maxBatchTokens: options.maxBatchTokens ?? 8192,
    maxSequences: options.maxSequences ?? 256,
    kvCapacityTokens: options.kvCapacityTokens ?? Math.max(1, Math.floor(freeBytes / model.kvBytesPerToken)),
    kvBytesPerToken: model.kvBytesPerToken,
    tiers: [],
    network: { gigabytesPerSecond: chip.networkGigabytesPerSecond * options.chips, latencyMs: 1 },
    startUpMs: 180_000,
    pricePerChipHour: chip.pricePerHour,
    source: options.source,
  };
}
