// The providers that are known by name, each in a file of its own. The prices were read in November 2026 from the providers' pages or from
// a public list that cites them.
import { hostsCover } from "../../egress/index.ts";
import { anthropic } from "./anthropic.ts";
import { ark } from "./ark.ts";
import { azure } from "./azure.ts";
import { dashscope } from "./dashscope.ts";
import { deepseek } from "./deepseek.ts";
import { gemini } from "./gemini.ts";
import { hunyuan } from "./hunyuan.ts";
import { moonshot } from "./moonshot.ts";
import { openai } from "./openai.ts";
import { openrouter } from "./openrouter.ts";
import { qianfan } from "./qianfan.ts";
import { siliconflow } from "./siliconflow.ts";
import type { Preset } from "./types.ts";
import { zai, zhipu } from "./zhipu.ts";

export type { OfferedPrice, Preset } from "./types.ts";

/** Every preset, in the order in which they are listed. */
export const presets: readonly Preset[] = [
  openai,
  azure,
  dashscope,
  ark,
  qianfan,
  hunyuan,
  zhipu,
  zai,
  moonshot,
  deepseek,
  siliconflow,
  openrouter,
  anthropic,
  gemini,
];

/** The preset of that name; undefined where there is none. */
export const findPreset = (name: string): Preset | undefined => presets.find((preset) => preset.name === name);

/** The provider that serves at an address; undefined where no preset's hosts cover it. */
export const presetAt = (url: string): Preset | undefined => presets.find(({ hosts }) => hostsCover([...hosts], url));
