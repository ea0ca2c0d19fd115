// Baidu Qianfan, its v2 API. No public price list in a currency was found, so an engine of it needs --price-in and --price-out.
import type { Preset } from "./types.ts";

export const qianfan: Preset = {
  name: "qianfan",
  about: "Baidu Qianfan (ERNIE)",
  url: "https://qianfan.baidubce.com/v2",
  keyEnv: "QIANFAN_API_KEY",
  hosts: ["qianfan.baidubce.com"],
  docs: "https://cloud.baidu.com/doc/qianfan-api/s/3m7of64lb",
  models: [
    { id: "ernie-5.0-thinking-preview", contextTokens: 119_000 },
    { id: "deepseek-v3.2", contextTokens: 98_304 },
  ],
  quirks: {},
};
