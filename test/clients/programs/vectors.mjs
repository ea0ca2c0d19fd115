// Embeddings by OpenAI's own client, which asks for base64 unless it is told otherwise, and by the AI SDK.
import { createOpenAI } from "@ai-sdk/openai";
import { cosineSimilarity, embed, embedMany } from "ai";
import OpenAI from "openai";

const { ADDRESS, KEY, MODEL } = process.env;
const texts = ["a red apple", "an apple that is red", "seven ships at sea"];
const openai = new OpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: KEY });
const usual = await openai.embeddings.create({ model: MODEL, input: texts });
const floats = await openai.embeddings.create({ model: MODEL, input: texts, encoding_format: "float" });
const of = (answer) => answer.data.map(({ embedding }) => embedding);

const model = createOpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: KEY }).embedding(MODEL);
const many = await embedMany({ model, values: texts });
const one = await embed({ model, value: texts[0] });
const error = await openai.embeddings.create({ model: "no-such-model", input: "x" }).catch((failure) => failure);

const [near, far] = [1, 2].map((place) => cosineSimilarity(of(floats)[0], of(floats)[place]));
console.log(
  JSON.stringify({
    equal: JSON.stringify(of(usual)) === JSON.stringify(of(floats)),
    same: JSON.stringify(many.embeddings) === JSON.stringify(of(floats)),
    one: JSON.stringify(one.embedding) === JSON.stringify(of(floats)[0]),
    nearer: near > far,
    usage: { prompt: usual.usage.prompt_tokens },
    error: { status: error.status, message: error.message },
  }),
);
