// Three turns of a conversation by the client library of each API. Every turn sends, or names, what was said before.
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";

const { ADDRESS, KEY, MODEL } = process.env;
const openai = new OpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: KEY });
const anthropic = new Anthropic({ baseURL: ADDRESS, apiKey: KEY });
const google = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: ADDRESS, apiVersion: "v1beta" } });
const system = "You are a friendly guide to a harbour town. ".repeat(10);
const asked = ["Hello, who are you?", "What can I see there?", "Thank you. Goodbye."];
const most = 30;

async function chat() {
  const messages = [{ role: "system", content: system }];
  const turns = [];
  for (const content of asked) {
    messages.push({ role: "user", content });
    const answer = await openai.chat.completions.create({ model: MODEL, messages, max_tokens: most, temperature: 0 });
    messages.push(answer.choices[0].message);
    turns.push({
      text: answer.choices[0].message.content,
      prompt: answer.usage.prompt_tokens,
      cached: answer.usage.prompt_tokens_details.cached_tokens,
    });
  }
  return turns;
}

async function responses() {
  const turns = [];
  let previous_response_id;
  for (const input of asked) {
    const answer = await openai.responses.create({
      model: MODEL,
      instructions: system,
      input,
      previous_response_id,
      max_output_tokens: most,
      temperature: 0,
    });
    previous_response_id = answer.id;
    const { input_tokens: prompt, input_tokens_details } = answer.usage;
    turns.push({ text: answer.output_text, prompt, cached: input_tokens_details.cached_tokens });
  }
  return turns;
}

async function messages() {
  const said = [];
  const turns = [];
  for (const content of asked) {
    said.push({ role: "user", content });
    const stream = anthropic.messages.stream({ model: MODEL, system, messages: said, max_tokens: most });
    const answer = await stream.finalMessage();
    said.push({ role: "assistant", content: answer.content });
    const { input_tokens, cache_read_input_tokens: cached } = answer.usage;
    turns.push({ text: answer.content.map(({ text }) => text).join(""), prompt: input_tokens + cached, cached });
  }
  return turns;
}

async function gemini() {
  const talk = google.chats.create({ model: MODEL, config: { systemInstruction: system, maxOutputTokens: most } });
  const turns = [];
  for (const message of asked) {
    const answer = await talk.sendMessage({ message });
    const { promptTokenCount: prompt, cachedContentTokenCount: cached = 0 } = answer.usageMetadata;
    turns.push({ text: answer.text, prompt, cached });
  }
  return turns;
}

console.log(
  JSON.stringify({
    chat: await chat(),
    responses: await responses(),
    messages: await messages(),
    gemini: await gemini(),
  }),
);
