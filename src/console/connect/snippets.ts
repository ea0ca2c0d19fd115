// What a client needs to speak with this instance: for each SDK and agent program, lines to paste that work without change. They use
// OpenAI's chat completions, the protocol that is served. The page names protocols that are not served, and has no lines for them.

interface Place {
  /** Address at which clients reach Lineshaft, without a path: `http://localhost:4070`. */
  origin: string;
  key: string;
  model: string;
}

export interface Block {
  /** Where the lines are pasted: a terminal, or a file of this name. */
  where: string;
  text: string;
}

interface Client {
  id: string;
  name: string;
  blocks: (place: Place) => Block[];
  note?: string;
  /** Tokens of context that its shortest prompts need. Given where small models have less. */
  contextTokens?: number;
}

const question = "Name three metals.";

export const clients: Client[] = [
  {
    id: "curl",
    name: "curl",
    blocks: ({ origin, key, model }) => [
      {
        where: "Terminal",
        text: `curl ${origin}/v1/chat/completions \\
  -H "authorization: Bearer ${key}" \\
  -H "content-type: application/json" \\
  -d '${JSON.stringify({ model, messages: [{ role: "user", content: question }] })}'`,
      },
    ],
  },
  {
    id: "python",
    name: "Python",
    blocks: ({ origin, key, model }) => [
      { where: "Terminal", text: "pip install openai" },
      {
        where: "ask.py",
        text: `from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key="${key}")
answer = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "${question}"}],
)
print(answer.choices[0].message.content)`,
      },
    ],
  },
  {
    id: "javascript",
    name: "JavaScript",
    blocks: ({ origin, key, model }) => [
      { where: "Terminal", text: "npm install openai" },
      {
        where: "ask.mjs",
        text: `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${origin}/v1", apiKey: "${key}" });
const answer = await client.chat.completions.create({
  model: "${model}",
  messages: [{ role: "user", content: "${question}" }],
});
console.log(answer.choices[0].message.content);`,
      },
    ],
  },
  {
    id: "variables",
    name: "Environment",
    note: "OpenAI's SDKs, and most programs that are built on them, read these two variables. Name the model in the program.",
    blocks: ({ origin, key }) => [
      { where: "Terminal", text: `export OPENAI_BASE_URL="${origin}/v1"\nexport OPENAI_API_KEY="${key}"` },
    ],
  },
  {
    id: "opencode",
    name: "OpenCode",
    contextTokens: 16_384,
    blocks: ({ origin, key, model }) => [
      {
        where: "opencode.json, in the project's folder",
        text: JSON.stringify(
          {
            $schema: "https://opencode.ai/config.json",
            provider: {
              lineshaft: {
                npm: "@ai-sdk/openai-compatible",
                name: "Lineshaft",
                options: { baseURL: `${origin}/v1`, apiKey: key },
                models: { [model]: {} },
              },
            },
            model: `lineshaft/${model}`,
            small_model: `lineshaft/${model}`,
          },
          null,
          2,
        ),
      },
    ],
  },
  {
    id: "ai-sdk",
    name: "Vercel AI SDK",
    blocks: ({ origin, key, model }) => [
      { where: "Terminal", text: "npm install ai @ai-sdk/openai-compatible" },
      {
        where: "ask.mjs",
        text: `import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";

const lineshaft = createOpenAICompatible({ name: "lineshaft", baseURL: "${origin}/v1", apiKey: "${key}" });
const { text } = await generateText({ model: lineshaft("${model}"), prompt: "${question}" });
console.log(text);`,
      },
    ],
  },
  {
    id: "langchain",
    name: "LangChain",
    blocks: ({ origin, key, model }) => [
      { where: "Terminal", text: "pip install langchain-openai" },
      {
        where: "ask.py",
        text: `from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="${model}", base_url="${origin}/v1", api_key="${key}")
print(model.invoke("${question}").content)`,
      },
    ],
  },
  {
    id: "pydantic-ai",
    name: "Pydantic AI",
    blocks: ({ origin, key, model }) => [
      { where: "Terminal", text: 'pip install "pydantic-ai-slim[openai]"' },
      {
        where: "ask.py",
        text: `from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url="${origin}/v1", api_key="${key}")
agent = Agent(OpenAIChatModel("${model}", provider=provider))
print(agent.run_sync("${question}").output)`,
      },
    ],
  },
  {
    id: "litellm",
    name: "LiteLLM",
    blocks: ({ origin, key, model }) => [
      { where: "Terminal", text: "pip install litellm" },
      {
        where: "ask.py",
        text: `from litellm import completion

answer = completion(
    model="openai/${model}",
    api_base="${origin}/v1",
    api_key="${key}",
    messages=[{"role": "user", "content": "${question}"}],
)
print(answer.choices[0].message.content)`,
      },
    ],
  },
];

/** The client that the address names, or else the first. */
export const clientOf = (id: string | undefined): Client =>
  clients.find((client) => client.id === id) ?? (clients[0] as Client);

/** The key in a snippet until one is made. */
export const keyPlaceholder = "YOUR_KEY";
