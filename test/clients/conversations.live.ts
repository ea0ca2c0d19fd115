// Conversations with the embedded model of a whole instance, by client libraries as they are published. The agents' first prompts are
// longer than the default model's context: the status says so by name, and an agent that calls all the same is told that its prompt is too
// long.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startInstance, type Instance } from "../setup/instance.ts";
import { npmClients } from "./install.ts";
import { Folders, runProgram } from "./world.ts";

interface Turn {
  text: string;
  prompt: number;
  cached: number;
}

let instance: Instance;
let packages: string;
let model: string;
const folders = new Folders();

const get = async (path: string): Promise<any> => {
  const answer = await fetch(instance.address + path, { headers: { authorization: `Bearer ${instance.key}` } });
  return answer.json();
};

beforeAll(async () => {
  packages = await npmClients();
  instance = await startInstance({ env: { LINESHAFT_EMBEDDING_MODEL: "none" } });
  model = (await get("/v1/models")).data[0].id;
});
afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  folders[Symbol.dispose]();
});

describe("the embedded model", () => {
  test("talks with the client libraries of OpenAI, Anthropic and Google, and keeps what was said in its cache", async () => {
    const text = readFileSync(join(import.meta.dirname, "programs/conversation.mjs"), "utf8");
    const env = { ADDRESS: instance.address, KEY: instance.key, MODEL: model };
    const { home } = folders.make();
    const ran = await runProgram(process.execPath, ["--input-type=module"], { home, work: packages, env, stdin: text });
    expect(ran.code, ran.stderr).toBe(0);
    const talks = JSON.parse(ran.stdout.trim().split("\n").at(-1)!) as Record<string, Turn[]>;
    for (const [api, turns] of Object.entries(talks)) {
      expect(turns, api).toHaveLength(3);
      for (const { text: said } of turns) expect(said.length, api).toBeGreaterThan(0);
      const [first, second, third] = turns as [Turn, Turn, Turn];
      expect([second.prompt > first.prompt, third.prompt > second.prompt], api).toEqual([true, true]);
      expect(third.cached, api).toBeGreaterThan(0);
    }
    const { data } = await get("/api/calls?limit=50");
    expect(data).toHaveLength(12);
    for (const call of data) expect(call).toMatchObject({ status: "completed", model });
  });

  test("holds no agent's first prompt, and says which", async () => {
    const { deployments } = await get("/api/status");
    const clients = deployments.flatMap((one: { clients?: object[] }) => one.clients ?? []);
    expect(clients.map(({ name, fits }: any) => [name, fits])).toEqual([
      ["Claude Code", false],
      ["Codex", false],
      ["Gemini CLI", false],
      ["OpenCode", false],
    ]);
    const body = { model, max_tokens: 100, messages: [{ role: "user", content: "Use your tools. ".repeat(12_000) }] };
    const answer = await fetch(`${instance.address}/v1/messages`, {
      method: "POST",
      headers: { "x-api-key": instance.key, "anthropic-version": "2023-06-01", "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { message: expect.stringContaining("prompt is too long") } });
  });
});
