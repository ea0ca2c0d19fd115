// Google's Gemini API, by its own API. Context lengths are asked of its list of models. The price of Flash 3.8 is that until the end of
// 2026; Google has announced the double from January 2027 on. Where no price of cached tokens is given, they cost as much as others.
import type { Preset } from "./types.ts";

const published = {
  currency: "USD",
  asOf: "2026-10",
  source: "https://ai.google.dev/gemini-api/docs/pricing",
} as const;

export const gemini: Preset = {
  name: "gemini",
  about: "Google (Gemini API)",
  kind: "gemini",
  url: "https://generativelanguage.googleapis.com/v1beta",
  keyEnv: "GEMINI_API_KEY",
  hosts: ["generativelanguage.googleapis.com"],
  docs: "https://ai.google.dev/api",
  models: [
    { id: "gemini-3.8-flash", price: { ...published, input: "0.75", cached: "0.075", output: "3.75" } },
    { id: "gemini-3.5-flash", price: { ...published, input: "1.5", output: "9" } },
    { id: "gemini-3.5-flash-lite", price: { ...published, input: "0.3", output: "2.5" } },
    {
      id: "gemini-3.1-pro-preview",
      price: {
        ...published,
        input: "2",
        output: "12",
        tiers: [{ abovePromptTokens: 200_000, input: "4", output: "18" }],
      },
    },
  ],
  quirks: {},
};
