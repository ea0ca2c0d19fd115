// Zhipu (GLM): open.bigmodel.cn in China, api.z.ai elsewhere. The two have keys of their own. The prices are those of z.ai.
import type { Preset, PresetModel } from "./types.ts";

const published = { currency: "USD", asOf: "2026-11", source: "https://docs.z.ai/guides/overview/pricing" } as const;

const models: readonly PresetModel[] = [
  {
    id: "glm-5.3",
    contextTokens: 1_000_000,
    price: { ...published, input: "1.4", cached: "0.26", output: "4.4" },
  },
  {
    id: "glm-5.3-flash",
    contextTokens: 1_048_576,
    price: { ...published, input: "0.15", cached: "0.03", output: "0.5" },
  },
  {
    id: "glm-4.7",
    contextTokens: 200_000,
    price: { ...published, input: "0.6", cached: "0.11", output: "2.2" },
  },
];

export const zhipu: Preset = {
  name: "zhipu",
  about: "Zhipu (GLM), China",
  url: "https://open.bigmodel.cn/api/paas/v4",
  keyEnv: "ZHIPUAI_API_KEY",
  hosts: ["open.bigmodel.cn"],
  docs: "https://docs.bigmodel.cn",
  models,
  quirks: {},
};

export const zai: Preset = {
  name: "zai",
  about: "Zhipu (GLM), international",
  url: "https://api.z.ai/api/paas/v4",
  keyEnv: "ZAI_API_KEY",
  hosts: ["api.z.ai"],
  docs: "https://docs.z.ai",
  models,
  quirks: {},
};
