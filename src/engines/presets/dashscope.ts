// Alibaba Cloud Model Studio (DashScope), the compatible mode. Prices depend on the length of the whole prompt. It caches by itself, and
// takes `cache_control` marks. The prices are those of the international site, in USD.
import type { Preset } from "./types.ts";

const published = {
  currency: "USD",
  asOf: "2026-11",
  source: "https://www.alibabacloud.com/help/en/model-studio/models",
} as const;

export const dashscope: Preset = {
  name: "dashscope",
  about: "Alibaba Cloud Model Studio (DashScope)",
  url: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
  keyEnv: "DASHSCOPE_API_KEY",
  hosts: ["dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"],
  docs: "https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
  models: [
    {
      id: "qwen3.8-max",
      contextTokens: 991_808,
      price: { ...published, input: "2", cached: "0.25", output: "6" },
    },
    {
      id: "qwen3.8-flash",
      contextTokens: 991_808,
      price: { ...published, input: "0.15", cached: "0.016", output: "0.47", cacheWrite: "0.2" },
    },
    {
      id: "qwen3.7-plus",
      contextTokens: 991_808,
      price: {
        ...published,
        input: "0.4",
        cached: "0.08",
        output: "1.6",
        tiers: [{ abovePromptTokens: 256_000, input: "1.2", cached: "0.24", output: "4.8" }],
      },
    },
    {
      id: "qwen3-max",
      contextTokens: 258_048,
      price: {
        ...published,
        input: "1.2",
        output: "6",
        tiers: [
          { abovePromptTokens: 32_000, input: "2.4", output: "12" },
          { abovePromptTokens: 128_000, input: "3", output: "15" },
        ],
      },
    },
    { id: "qwen-max", contextTokens: 30_720, price: { ...published, input: "1.6", output: "6.4" } },
  ],
  quirks: { extraFields: ["cache_control"] },
};
