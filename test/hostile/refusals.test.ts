// What a caller is told when the request itself is at fault, or a worker is gone: refused, not failed; by names, not by addresses.
import { expect, test } from "vitest";
import { createOpenAiEngine } from "../../src/engines/index.ts";
import { hello, rows, testGateway, type TestGateway } from "../../src/api/testing.ts";
import { askedUntilDeadline } from "./deadlines.ts";

const tooLong: [string, object][] = [
  ["OpenAI's code", { error: { message: "too long", code: "context_length_exceeded", param: "messages" } }],
  [
    "vLLM's words",
    {
      error: { message: "This model's maximum context length is 2048 tokens. However, you requested 9000.", code: 400 },
    },
  ],
  ["SGLang's words", { message: "The input (9000 tokens) is longer than the model's context length (2048 tokens)." }],
  [
    "llama.cpp's words",
    { error: { message: "the request exceeds the available context size", type: "exceed_context_size_error" } },
  ],
];

async function recorded(at: TestGateway) {
  const { calls, attempts, settlements } = await rows(at);
  const { body } = await at.request("/metrics");
  return { calls, attempts, settlements, metrics: body as string };
}

test.each(tooLong)("a prompt that the engine finds too long is refused (%s)", async (_, body) => {
  await using at = await testGateway({ script: { fail: { status: 400, body } } });
  for (const stream of [false, true])
    await expect(at.client().chat.completions.create({ ...hello, stream })).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
    });
  const { calls, attempts, settlements, metrics } = await recorded(at);
  for (const row of [...calls, ...attempts])
    expect([row["status"], row["error_code"]]).toEqual(["refused", "context_length_exceeded"]);
  expect(settlements).toMatchObject([{ amount_nano: 0n }, { amount_nano: 0n }]);
  expect(metrics).toMatch(/lineshaft_calls_total\{[^}]*outcome="refused"[^}]*\} 2/);
  expect(metrics).not.toMatch(/outcome="failed"/);
  expect((await at.request("/api/overview?range=1h")).body.calls).toMatchObject({ total: 2, failed: 0, refused: 2 });
});

test("a prompt that no endpoint has room for is refused before any of them is asked", async () => {
  await using at = await testGateway();
  const endpoint = at.engines.get("scripted")!;
  endpoint.facts = {
    models: ["scripted"],
    kv: { bytesPerToken: 1, deviceTokens: 16, totalTokens: 16, reloadMsPerToken: {} },
    capabilities: {
      tokenize: true,
      kvEvents: false,
    },
  };
  // Where there are several endpoints the prompt is counted: a guess refuses nothing.
  Object.assign(endpoint.engine, { tokenize: async () => ({ count: 500 }) });
  const { engine, kind, facts } = endpoint;
  at.engines.answered(endpoint);
  at.engines.answered(at.engines.add("scripted", engine, { kind, model: "scripted", endpoint: "second", facts }));
  const long = { ...hello, messages: [{ role: "user" as const, content: "word ".repeat(500) }] };
  await expect(at.client().chat.completions.create(long)).rejects.toMatchObject({
    status: 400,
    code: "context_length_exceeded",
  });
  const { calls, attempts } = await recorded(at);
  expect(calls).toMatchObject([{ status: "refused", error_code: "context_length_exceeded" }]);
  expect(attempts).toEqual([]);
  expect(at.engine.seen).toEqual([]);
});

test("a dead endpoint is named as it is known here, never by its address; members see no addresses of engines", async () => {
  await using at = await testGateway();
  const register = (kind: "embedded" | "openai", endpoint: string) => {
    at.engines.remove("scripted");
    const engine = createOpenAiEngine({ url: at.engine.url, model: "scripted" });
    at.engines.add("scripted", engine, { kind, model: "scripted", endpoint });
  };
  const added = { name: "added", urls: [at.engine.url], model: "scripted" };
  expect(await at.request("/api/engines", { method: "POST", body: JSON.stringify(added) })).toMatchObject({
    status: 200,
    body: { urls: [at.engine.url], endpoints: [{ endpoint: "added", state: "ready" }] },
  });
  const { organisation, project } = at.principal;
  const { secret } = await at.identity.createKey({ organisation, project, name: "member", role: "member" });
  const seen = await at.request("/api/engines", { headers: { authorization: `Bearer ${secret}` } });
  expect(seen.body.data).toMatchObject([{ name: "added", urls: [], endpoints: [{ endpoint: "added" }] }]);
  await at.engine[Symbol.asyncDispose]();
  const messages: string[] = [];
  for (const [kind, endpoint] of [
    ["openai", "scripted"],
    ["openai", "scripted-1"],
    ["embedded", "worker-1"],
  ] as const) {
    register(kind, endpoint);
    const { body } = await askedUntilDeadline(at);
    expect(body.error.code).toBe("engine_unreachable");
    messages.push((body.error.message as string).replace(/:.*$/, ""));
  }
  expect(messages).toEqual([
    "The engine scripted cannot be reached",
    "The endpoint scripted-1 of the engine scripted cannot be reached",
    "Worker worker-1 of the deployment scripted cannot be reached",
  ]);
});
