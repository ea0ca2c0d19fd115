// Sampling parameters that a request leaves open: the recommendation of the model's makers, from the catalogue or from the file itself. A
// small model at temperature 1 without top-p answers nonsense, and clients that leave the parameters out expect sensible ones.
import { z } from "zod";

export const samplingDefaults = z.object({
  /** 0: always the likeliest token. */
  temperature: z.number().min(0).max(2),
  topP: z.number().gt(0).max(1),
  /** 0: all. */
  topK: z.int().min(0),
  minP: z.number().min(0).max(1),
  /** 1: none. */
  repetitionPenalty: z.number().gt(0).max(2),
});

export type SamplingDefaults = z.infer<typeof samplingDefaults>;

/** `catalogue`: the makers' recommendation, from our catalogue. `file`: the GGUF's own keys. `usual`: neither has a value. */
type SamplingSource = "catalogue" | "file" | "usual";

/** Every filter off: the value of a field that its source omits while it gives others. */
export const openSampling: SamplingDefaults = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };

/** For models without recommendations: llama.cpp's own defaults. */
export const usualSampling: SamplingDefaults = { ...openSampling, temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05 };

/** Of the keys that llama.cpp's converter takes over from a model's generation_config.json: `general.sampling.*`. */
const fileKeys = {
  temperature: "temp",
  topP: "top_p",
  topK: "top_k",
  minP: "min_p",
  repetitionPenalty: "penalty_repeat",
} as const;

/** What the catalogue recommends, else what the file says under `general.sampling`, else the usual. */
export function samplingFor(
  recommended: Partial<SamplingDefaults> | undefined,
  file: unknown,
): { values: SamplingDefaults; source: SamplingSource } {
  if (recommended) return { values: { ...openSampling, ...recommended }, source: "catalogue" };
  const stated = statedBy(file);
  if (Object.keys(stated).length > 0) return { values: { ...openSampling, ...stated }, source: "file" };
  return { values: usualSampling, source: "usual" };
}

/** The file's values. A value outside its field's range counts as absent. */
function statedBy(file: unknown): Partial<SamplingDefaults> {
  if (typeof file !== "object" || file === null) return {};
  const stated: Partial<SamplingDefaults> = {};
  for (const field of Object.keys(fileKeys) as (keyof SamplingDefaults)[]) {
    const read = samplingDefaults.shape[field].safeParse((file as Record<string, unknown>)[fileKeys[field]]);
    // 32-bit floats have more digits than the author wrote, so they are rounded.
    if (read.success) stated[field] = Number(read.data.toPrecision(6));
  }
  return stated;
}
