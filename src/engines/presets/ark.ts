// Volcano Engine Ark (Doubao). Its addresses end in /api/v3. Models are named with their date, or by the id of an endpoint of the
// customer's. Public prices are in CNY; the ones here are a public list's conversion to USD.
import type { Preset } from "./types.ts";

const published = {
  currency: "USD",
  asOf: "2026-11",
  source: "https://www.volcengine.com/docs/82379/1544106",
} as const;

export const ark: Preset = {
  name: "ark",
  about: "Volcano Engine Ark (Doubao)",
  url: "https://ark.cn-beijing.volces.com/api/v3",
  keyEnv: "ARK_API_KEY",
  hosts: ["ark.cn-beijing.volces.com", "ark.ap-southeast.bytepluses.com"],
  docs: "https://www.volcengine.com/docs/82379",
  models: [
    {
      id: "doubao-seed-2-1-pro-260915",
      contextTokens: 1_024_000,
      price: { ...published, input: "0.8625", cached: "0.1725", output: "4.3125" },
    },
    {
      id: "doubao-seed-2-1-lite-260915",
      contextTokens: 1_024_000,
      price: { ...published, input: "0.115", cached: "0.023", output: "0.3881" },
    },
    {
      id: "doubao-seed-2-1-turbo-260628",
      contextTokens: 256_000,
      price: { ...published, input: "0.4313", cached: "0.0862", output: "2.1562" },
    },
  ],
  quirks: {},
};
