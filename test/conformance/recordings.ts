// Requests that real clients sent, as they were recorded (test/data/recordings): method, path, headers and body. Their texts were replaced by
// placeholders such as `<string 120>` when they were recorded, and are filled in here with texts of the same length.
//
// Versions: Claude Code 2.1.332, Codex 0.171.0, OpenCode 1.18.33, Gemini CLI 0.61.0, ai 6.0.326, @openai/agents 0.20.0, openai-agents 0.24.0,
// @anthropic-ai/sdk 1.14.0, @google/genai 2.32.0, langchain-openai 1.7.4.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

type Json = Record<string, any>;

export interface Recording {
  /** Name of its file, without the ending. */
  name: string;
  client: string;
  method: string;
  /** With its query. */
  path: string;
  headers: Record<string, string>;
  /** Undefined where the request had none. */
  body: Json | undefined;
}

const folder = join(import.meta.dirname, "../data/recordings");

export function recordings(): Recording[] {
  return readdirSync(folder).map((file) => {
    const recorded = JSON.parse(readFileSync(join(folder, file), "utf8")) as Json;
    const headers = filled(recorded["headers"], "") as Record<string, string>;
    return { ...recorded, name: file.replace(".json", ""), headers, body: filled(recorded["body"], "") } as Recording;
  });
}

const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

function filled(value: unknown, key: string): unknown {
  if (Array.isArray(value)) return value.map((one) => filled(one, key));
  if (value !== null && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, filled(one, name)]));
  if (typeof value !== "string") return value;
  const whole = /^<string (\d+)>$/.exec(value);
  if (whole) return textFor(key, Number(whole[1]));
  return value
    .replaceAll(/<string (\d+)>/g, (_, length: string) => words(Number(length)))
    .replaceAll(/<path (\d+)>/g, (_, length: string) => `/${"p".repeat(Math.max(0, Number(length) - 1))}`)
    .replaceAll("<uuid>", "0f8fad5b-d9cb-469f-a165-70867728950e")
    .replaceAll("<hex>", "da39a3ee5e6b4b0d3255bfef95601890afd80709")
    .replaceAll(/<(?:secret|id)>/g, "filled");
}

/** Fields whose text has a form get it; other texts are words. */
function textFor(key: string, length: number): string {
  if (key === "arguments") return JSON.stringify({ x: words(Math.max(0, length - 8)) });
  if (key === "image_url" || key === "url") return `data:image/png;base64,${pixel}`;
  if (key === "data") return pixel;
  if (key === "thoughtSignature") return Buffer.from(words(length)).toString("base64");
  return words(length);
}

function words(length: number): string {
  return "seven green apples lie on a table ".repeat(Math.ceil(length / 34)).slice(0, length);
}

/** Whether a request asks for embeddings, which is no conversation. */
export const asksForVectors = ({ path }: Recording): boolean => /mbedContents?(\?|$)/.test(path);
