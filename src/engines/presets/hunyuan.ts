// Tencent Hunyuan, its OpenAI-compatible API. Names that end in -latest move from version to version, and no public price list that names
// them was found, so an engine of it needs --price-in and --price-out.
import type { Preset } from "./types.ts";

export const hunyuan: Preset = {
  name: "hunyuan",
  about: "Tencent Hunyuan",
  url: "https://api.hunyuan.cloud.tencent.com/v1",
  keyEnv: "HUNYUAN_API_KEY",
  hosts: ["api.hunyuan.cloud.tencent.com"],
  docs: "https://cloud.tencent.com/document/product/1729/111007",
  models: [{ id: "hunyuan-turbos-latest" }, { id: "hunyuan-t1-latest" }],
  quirks: {},
};
