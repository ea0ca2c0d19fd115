// OpenRouter: models of many providers under PROVIDER/MODEL. What a call costs depends on the provider that served it, so no price is
// offered. It takes `cache_control` marks and hands them on.
import type { Preset } from "./types.ts";

export const openrouter: Preset = {
  name: "openrouter",
  about: "OpenRouter (many providers)",
  url: "https://openrouter.ai/api/v1",
  keyEnv: "OPENROUTER_API_KEY",
  hosts: ["openrouter.ai"],
  docs: "https://openrouter.ai/docs",
  models: [],
  quirks: { extraFields: ["cache_control"] },
};
