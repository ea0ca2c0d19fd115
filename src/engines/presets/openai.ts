// OpenAI. Its own newer models refuse `max_tokens`, and a prompt above 272,000 tokens is priced higher as a whole.
import type { OfferedPrice, Preset, PresetModel } from "./types.ts";

const published = {
  currency: "USD",
  asOf: "2026-11",
  source: "https://developers.openai.com/api/docs/pricing",
} as const;

const sol: OfferedPrice = {
  ...published,
  input: "2",
  cached: "0.1",
  output: "10",
  cacheWrite: "2.5",
  tiers: [{ abovePromptTokens: 272_000, input: "4", cached: "0.2", output: "15", cacheWrite: "5" }],
};

/** Models that Azure serves too, at the same price. */
export const gptModels: readonly PresetModel[] = [
  { id: "gpt-6.1-sol", contextTokens: 1_050_000, price: sol },
  {
    id: "gpt-6.1-terra",
    contextTokens: 1_050_000,
    price: {
      ...published,
      input: "1",
      cached: "0.05",
      output: "5",
      cacheWrite: "1.25",
      tiers: [{ abovePromptTokens: 272_000, input: "2", cached: "0.1", output: "7.5", cacheWrite: "2.5" }],
    },
  },
  {
    id: "gpt-6-luna",
    contextTokens: 1_050_000,
    price: {
      ...published,
      input: "0.1",
      cached: "0.01",
      output: "0.5",
      cacheWrite: "0.125",
      tiers: [{ abovePromptTokens: 272_000, input: "0.2", cached: "0.02", output: "0.75", cacheWrite: "0.25" }],
    },
  },
  {
    id: "text-embedding-3-small",
    contextTokens: 8_191,
    embeds: true,
    price: { ...published, input: "0.02", output: "0" },
  },
  {
    id: "text-embedding-3-large",
    contextTokens: 8_191,
    embeds: true,
    price: { ...published, input: "0.13", output: "0" },
  },
];

export const openai: Preset = {
  name: "openai",
  about: "OpenAI",
  url: "https://api.openai.com/v1",
  keyEnv: "OPENAI_API_KEY",
  hosts: ["api.openai.com", "us.api.openai.com", "eu.api.openai.com"],
  docs: "https://developers.openai.com/api/docs",
  models: gptModels,
  quirks: { openAi: true },
};
