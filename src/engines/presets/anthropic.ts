// Anthropic, by its own API. Writing to the cache costs 1.25 times a prompt's price for five minutes, and 2 times for an hour. Context
// lengths are asked of its list of models.
import type { Preset } from "./types.ts";

const published = {
  currency: "USD",
  asOf: "2026-11",
  source: "https://platform.claude.com/docs/en/about-claude/pricing",
} as const;

export const anthropic: Preset = {
  name: "anthropic",
  about: "Anthropic (Messages API)",
  kind: "anthropic",
  url: "https://api.anthropic.com/v1",
  keyEnv: "ANTHROPIC_API_KEY",
  hosts: ["api.anthropic.com"],
  docs: "https://platform.claude.com/docs/en/api/messages",
  models: [
    {
      id: "claude-opus-5-5",
      price: { ...published, input: "4", cached: "0.2", output: "20", cacheWrite: "5", cacheWriteLong: "8" },
    },
    {
      id: "claude-opus-5",
      price: { ...published, input: "5", cached: "0.5", output: "25", cacheWrite: "6.25", cacheWriteLong: "10" },
    },
    {
      id: "claude-sonnet-5-5",
      price: { ...published, input: "2", cached: "0.1", output: "10", cacheWrite: "2.5", cacheWriteLong: "4" },
    },
    {
      id: "claude-sonnet-5",
      price: { ...published, input: "2", cached: "0.2", output: "10", cacheWrite: "2.5", cacheWriteLong: "4" },
    },
    {
      id: "claude-haiku-5-5",
      price: { ...published, input: "0.1", cached: "0.01", output: "0.5", cacheWrite: "0.125", cacheWriteLong: "0.2" },
    },
    {
      id: "claude-haiku-4-5",
      price: { ...published, input: "1", cached: "0.1", output: "5", cacheWrite: "1.25", cacheWriteLong: "2" },
    },
  ],
  quirks: {},
};
