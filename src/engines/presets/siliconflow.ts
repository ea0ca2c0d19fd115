// SiliconFlow: open models under their makers' names. Its prices differ by site and change often, so none is offered.
import type { Preset } from "./types.ts";

export const siliconflow: Preset = {
  name: "siliconflow",
  about: "SiliconFlow (open models)",
  url: "https://api.siliconflow.com/v1",
  keyEnv: "SILICONFLOW_API_KEY",
  hosts: ["api.siliconflow.cn", "api.siliconflow.com"],
  docs: "https://docs.siliconflow.com",
  models: [{ id: "deepseek-ai/DeepSeek-V4-Pro" }, { id: "ByteDance-Seed/Seed-OSS-36B-Instruct" }],
  quirks: {},
};
