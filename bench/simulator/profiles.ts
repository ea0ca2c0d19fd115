// Rewrites the built-in profiles from measurements: Vidur's operator files (LINESHAFT_TRACES) for A100 and H100, and the rows
// measured of the embedded engine on two cores.
//
//   node bench/simulator/profiles.ts
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fitProfile, type MeasuredRow } from "../../src/simulator/calibrate.ts";
import type { EngineProfile } from "../../src/simulator/engine/profile.ts";
import { chips, models, type ModelData } from "./profiles/derive.ts";
import { profileFromVidur, readAllReduce, readLayerTimes } from "./profiles/vidur.ts";
import { resolveTrace } from "../../src/simulator/traces/files.ts";

const folder = resolve(import.meta.dirname, "../../src/simulator/profiles");
const write = (name: string, profile: EngineProfile, error: number): void => {
  writeFileSync(resolve(folder, `${name}.json`), `${JSON.stringify(profile, null, 2)}\n`);
  const { step } = profile;
  console.log(
    `${name.padEnd(28)} base ${step.baseMs} ms, ${step.freeTokens} tokens free, then ${step.tokenMs} ms a token; ` +
      `KV ${profile.kvCapacityTokens.toLocaleString("en")} tokens; mean error ${(error * 100).toFixed(1)} %`,
  );
};

const gpu: {
  name: string;
  chip: keyof typeof chips;
  model: ModelData;
  file: string;
  hidden: number;
  width: number;
  collective: string;
}[] = [
  {
    name: "a100-llama-3.1-8b-tp1",
    chip: "a100-80g",
    model: models["llama-3.1-8b"],
    file: "mlp.a100_Meta-Llama-3-8B",
    hidden: 4096,
    width: 1,
    collective: "all_reduce.a100_dgx",
  },
  {
    name: "a100-llama-3.1-70b-tp4",
    chip: "a100-80g",
    model: models["llama-3.1-70b"],
    file: "mlp.a100_Meta-Llama-3-70B",
    hidden: 8192,
    width: 4,
    collective: "all_reduce.a100_dgx",
  },
  {
    name: "a100-llama-3.1-70b-tp8",
    chip: "a100-80g",
    model: models["llama-3.1-70b"],
    file: "mlp.a100_Meta-Llama-3-70B",
    hidden: 8192,
    width: 8,
    collective: "all_reduce.a100_dgx",
  },
  {
    name: "h100-llama-3.1-70b-tp4",
    chip: "h100-80g",
    model: models["llama-3.1-70b"],
    file: "mlp.h100_Llama-2-70b-hf",
    hidden: 8192,
    width: 4,
    collective: "all_reduce.h100_dgx",
  },
  {
    name: "h100-llama-3.1-70b-tp8",
    chip: "h100-80g",
    model: models["llama-3.1-70b"],
    file: "mlp.h100_Llama-2-70b-hf",
    hidden: 8192,
    width: 8,
    collective: "all_reduce.h100_dgx",
  },
];

for (const entry of gpu) {
  const { profile, error } = profileFromVidur({
    chip: chips[entry.chip],
    model: entry.model,
    width: entry.width,
    hiddenSize: entry.hidden,
    layers: await readLayerTimes(resolveTrace(`vidur/${entry.file}.csv`), entry.width),
    allReduce: entry.width === 1 ? [] : await readAllReduce(resolveTrace(`vidur/${entry.collective}.csv`), entry.width),
    maxBatchTokens: 8192,
    maxSequences: 256,
    source: `operators measured by Vidur (${entry.file}, ${entry.collective}); attention by roofline; prices are placeholders`,
  });
  write(entry.name, profile, error);
}

// SmolLM2-135M-Instruct Q4_1 by node-llama-cpp on one thread of two cores.
const smol: MeasuredRow[] = [
  { kind: "prefill", promptTokens: 1000, ms: 2060 },
  { kind: "prefill", promptTokens: 2000, ms: 5200 },
  { kind: "decode", batch: 1, contextTokens: 32, ms: 1000 / 129 },
  { kind: "decode", batch: 4, contextTokens: 32, ms: 4000 / 129 },
  { kind: "decode", batch: 8, contextTokens: 32, ms: 8000 / 144 },
  { kind: "decode", batch: 1, contextTokens: 2000, ms: 1000 / 40 },
];
const fitted = fitProfile(smol, {
  name: "SmolLM2 135M on one core",
  model: "SmolLM2 135M Instruct Q4_1",
  chip: "CPU core (AVX-512, AMX)",
  chips: 1,
  maxBatchTokens: 64,
  maxSequences: 8,
  kvCapacityTokens: 8 * 4096,
  kvBytesPerToken: 23_000,
  // A 2,063-token state is loaded in 12 ms.
  tiers: [{ tier: "disk", capacityTokens: 1_000_000, latencyMs: 2, msPerToken: 0.006 }],
  network: { gigabytesPerSecond: 3.8, latencyMs: 2 },
  startUpMs: 1500,
  pricePerChipHour: 0.04,
  source:
    "measured on two Xeon cores with one thread: prefill 1,000 and 2,000 tokens, decode at 1, 4 and 8 sequences, and after 2,000 tokens",
});
write("cpu-smollm2-135m", fitted.profile, fitted.error);
