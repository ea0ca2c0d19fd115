// Google's Gemini API against the whole server, as its clients send it.
import { describe, expect, test } from "vitest";
import { testGateway, type TestGateway } from "../api/testing.ts";

const hello = { contents: [{ role: "user", parts: [{ text: "hi" }] }] };

const send = (
  at: TestGateway,
  path: string,
  body?: unknown,
  headers: Record<string, string> = { "x-goog-api-key": at.key },
) =>
  fetch(`${at.address}/v1beta${path}`, {
    ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
    headers: { "content-type": "application/json", ...headers },
  });

describe("Google's clients", () => {
  test("a whole answer, priced in its headers and recorded by its shape", async () => {
    await using at = await testGateway({ script: { usage: { prompt: 10, cached: 4, output: 4 } } });
    const response = await send(at, "/models/scripted:generateContent", hello);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      candidates: [{ content: { parts: [{ text: "Hello, world." }], role: "model" }, finishReason: "STOP" }],
      usageMetadata: { promptTokenCount: 10, cachedContentTokenCount: 4, candidatesTokenCount: 4, totalTokenCount: 14 },
      modelVersion: "scripted",
    });
    expect(response.headers.get("x-lineshaft-price-nano")).toBe(String(6 * 3 + 4 * 1 + 4 * 7));
    await at.gateway.flushed();
    const { body } = await at.request(`/api/calls/${response.headers.get("x-lineshaft-call")}`);
    expect(body).toMatchObject({ endpoint: "gemini", output_tokens: 4 });
  });

  test("a stream with a tool's call, whose last event has the usage", async () => {
    await using at = await testGateway({ script: { toolCalls: [{ name: "f", arguments: '{"a":1}' }] } });
    const body = { ...hello, tools: [{ functionDeclarations: [{ name: "f" }] }] };
    const text = await (await send(at, "/models/scripted:streamGenerateContent?alt=sse", body)).text();
    const events = text.split("\n\n").filter((event) => event.startsWith("data: "));
    const last = JSON.parse(events.at(-1)!.slice(6)) as any;
    expect(last.candidates[0]).toMatchObject({
      content: { parts: [{ functionCall: { name: "f", args: { a: 1 } } }] },
      finishReason: "STOP",
    });
    expect(last.usageMetadata.promptTokenCount).toBe(10);
  });

  test("tokens are counted, models listed, and neither calls an engine", async () => {
    await using at = await testGateway();
    const counted = await send(at, "/models/scripted:countTokens", hello);
    expect(((await counted.json()) as { totalTokens: number }).totalTokens).toBeGreaterThan(0);
    const nested = { generateContentRequest: { model: "models/scripted", ...hello } };
    expect((await send(at, "/models/scripted:countTokens", nested)).status).toBe(200);
    expect(await (await send(at, "/models")).json()).toMatchObject({ models: [{ name: "models/scripted" }] });
    expect(await (await send(at, "/models/scripted")).json()).toMatchObject({ baseModelId: "scripted" });
    expect(at.engine.seen).toEqual([]);
  });

  test("a key is taken from Google's places, and a failure has Google's shape", async () => {
    await using at = await testGateway();
    const path = "/models/scripted:generateContent";
    expect((await send(at, `${path}?key=${at.key}`, hello, {})).status).toBe(200);
    expect((await send(at, path, hello, { authorization: `Bearer ${at.key}` })).status).toBe(200);
    // Other routes take no key from an address, because addresses are kept in many places.
    expect((await fetch(`${at.address}/v1/models?key=${at.key}`)).status).toBe(401);
    expect((await fetch(`${at.address}/api/keys?key=${at.key}`)).status).toBe(401);
    expect(at.logged.join("")).not.toContain(at.key);
    const refused = async (response: Response) => [response.status, ((await response.json()) as any).error.status];
    expect(await refused(await send(at, path, hello, {}))).toEqual([401, "UNAUTHENTICATED"]);
    expect(await refused(await send(at, path, {}))).toEqual([400, "INVALID_ARGUMENT"]);
    expect(await refused(await send(at, "/models/none:generateContent", hello))).toEqual([404, "NOT_FOUND"]);
    expect(await refused(await send(at, "/tunedModels", hello))).toEqual([404, "NOT_FOUND"]);
  });

  test("files are not offered: the refusal says so in Google's shape and what to do, at every path that its SDKs ask", async () => {
    await using at = await testGateway();
    const google = { "x-goog-api-key": at.key };
    for (const [method, path, headers] of [
      ["POST", "/upload/v1beta/files", google],
      ["POST", `/upload/v1beta/files?key=${at.key}`, {}],
      ["POST", "/upload/v1/files", google],
      ["GET", "/v1beta/files", google],
      ["GET", "/v1/files", google],
      ["DELETE", "/v1/files/abc", google],
    ] as const) {
      const answer = await fetch(at.address + path, { method, headers, ...(method === "POST" && { body: "{}" }) });
      expect([path, answer.status, await answer.json()]).toMatchObject([
        path,
        404,
        { error: { code: 404, status: "NOT_FOUND", message: expect.stringContaining("`inlineData`") } },
      ]);
    }
    const stranger = await fetch(`${at.address}/v1/files`, { headers: { "x-goog-api-key": "wrong" } });
    expect([stranger.status, await stranger.json()]).toMatchObject([401, { error: { status: "UNAUTHENTICATED" } }]);
    const openAi = await fetch(`${at.address}/v1/files`, { headers: { authorization: `Bearer ${at.key}` } });
    expect([openAi.status, await openAi.json()]).toMatchObject([200, { object: "list" }]);
  });
});
