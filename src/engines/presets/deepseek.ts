// DeepSeek. It caches by itself and reports `prompt_cache_hit_tokens`.
import type { Preset } from "./types.ts";

const published = {
  currency: "USD",
  asOf: "2026-11",
  source: "https://api-docs.deepseek.com/quick_start/pricing",
} as const;

export const deepseek: Preset = {
  name: "deepseek",
  about: "DeepSeek",
  url: "https://api.deepseek.com/v1",
  keyEnv: "DEEPSEEK_API_KEY",
  hosts: ["api.deepseek.com"],
  docs: "https://api-docs.deepseek.com",
  models: [
    {
      id: "deepseek-v4-pro",
      contextTokens: 1_000_000,
      price: { ...published, input: "1.32", cached: "0.044", output: "3.96" },
    },
    {
      id: "deepseek-flash",
      contextTokens: 1_000_000,
      price: { ...published, input: "0.3", cached: "0.006", output: "1.2" },
    },
  ],
  quirks: {},
};
