// The parts before hashing: rendering a long conversation through a chat template, and tokenising it with a real model's
// tokeniser where one is at hand.
import { existsSync } from "node:fs";
import { Template } from "@huggingface/jinja";
import { measure, type Sample } from "./measure.ts";

export interface TextParts {
  text: string;
  bytes: number;
  tokens: number;
  render?: Sample;
  tokenise?: Sample;
  notes: string[];
}

const chatMl =
  "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/** A conversation of about `tokens` tokens (4.2 bytes each), one message per 2,000 bytes. */
export async function renderAndTokenise(tokens: number, rounds: number): Promise<TextParts> {
  const words = "the pump on line four reports a bearing temperature above its limit since the last oil change ".split(
    " ",
  );
  const messages = Array.from({ length: Math.ceil((tokens * 4.2) / 2000) }, (_, at) => ({
    role: at === 0 ? "system" : at % 2 === 1 ? "user" : "assistant",
    content: Array.from({ length: 360 }, (_, word) => words[(word * 7 + at * 13 + (word >> 3)) % words.length]).join(
      " ",
    ),
  }));
  const template = new Template(chatMl);
  let text = "";
  const render = measure(rounds, () => {
    text = template.render({ messages, add_generation_prompt: true });
  });
  const parts: TextParts = { text, bytes: Buffer.byteLength(text), tokens: 0, render, notes: [] };
  const path = process.env["LINESHAFT_MODEL"];
  if (path === undefined || !existsSync(path)) {
    parts.notes.push("tokenising not measured: LINESHAFT_MODEL names no model file");
    return parts;
  }
  const { getLlama } = await import("node-llama-cpp");
  const llama = await getLlama({ gpu: false, build: "never", maxThreads: 1, logLevel: "error" as never });
  const model = await llama.loadModel({ modelPath: path, vocabOnly: true });
  parts.tokenise = measure(Math.min(3, rounds), () => {
    parts.tokens = model.tokenize(text, true).length;
  });
  await model.dispose();
  return parts;
}
