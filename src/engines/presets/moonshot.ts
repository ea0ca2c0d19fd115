// Moonshot (Kimi). It reports cached tokens as `usage.cached_tokens`, beside the details.
import type { Preset } from "./types.ts";

const published = { currency: "USD", asOf: "2026-11", source: "https://platform.kimi.ai/docs/pricing/chat" } as const;

export const moonshot: Preset = {
  name: "moonshot",
  about: "Moonshot (Kimi)",
  url: "https://api.moonshot.ai/v1",
  keyEnv: "MOONSHOT_API_KEY",
  hosts: ["api.moonshot.cn", "api.moonshot.ai"],
  docs: "https://platform.kimi.ai/docs",
  models: [
    {
      id: "kimi-k3.1-pro",
      contextTokens: 1_048_576,
      price: { ...published, input: "2", cached: "0.2", output: "10", cacheWrite: "2" },
    },
    {
      id: "kimi-k2.7-code",
      contextTokens: 262_144,
      price: { ...published, input: "0.95", cached: "0.19", output: "4" },
    },
  ],
  quirks: {},
};
