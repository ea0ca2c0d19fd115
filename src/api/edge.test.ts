// The edge of the one address over real HTTP: what is answered without a key, pages of other origins, compressed bodies, and in whose shape
// errors are.
import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { servedRoutes } from "../gateway/protocols/registry.ts";
import { hello, testGateway } from "./testing.ts";

const anthropic = { "anthropic-version": "2023-06-01" };

test("probes are answered without a key, and say nothing", async () => {
  await using at = await testGateway();
  for (const path of ["/", "/v1/models", "/v1/models?limit=1000"]) {
    const answer = await fetch(at.address + path, { method: "HEAD" });
    expect([path, answer.status, await answer.text()]).toEqual([path, 200, ""]);
  }
  expect((await fetch(`${at.address}/v1/models`)).status).toBe(401);
  expect((await fetch(`${at.address}/v1/models/scripted`, { method: "HEAD" })).status).toBe(401);
});

test("a page of any origin may call, by a key that it sends itself, and reads answers and errors", async () => {
  await using at = await testGateway();
  const origin = "https://page.example";
  const wanted = "authorization,content-type,x-stainless-os";
  for (const line of servedRoutes) {
    const [method, path] = line.split(" ") as [string, string];
    const preflight = await fetch(at.address + path.replaceAll(/\{\w+\}/g, "x"), {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": method, "access-control-request-headers": wanted },
    });
    expect([line, preflight.status]).toEqual([line, 204]);
    expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
    expect(preflight.headers.get("access-control-allow-headers")).toBe(wanted);
    expect(preflight.headers.get("access-control-allow-methods")!.split(", ")).toContain(method);
    expect(preflight.headers.get("access-control-allow-credentials")).toBeNull();
  }
  const call = (key: string, stream: boolean) =>
    fetch(`${at.address}/v1/chat/completions`, {
      method: "POST",
      headers: { origin, authorization: `Bearer ${key}` },
      body: JSON.stringify({ ...hello, stream }),
    });
  for (const answer of [await call(at.key, false), await call(at.key, true), await call("wrong", false)]) {
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("access-control-expose-headers")).toBe("*");
    await answer.text();
  }
  const same = await at.client().chat.completions.create(hello).asResponse();
  expect(same.headers.get("access-control-allow-origin")).toBeNull();
});

test("the management API and the console answer no other origin", async () => {
  await using at = await testGateway();
  for (const path of ["/api/keys", "/api/status", "/", "/healthz"])
    for (const method of ["OPTIONS", "GET"]) {
      const headers = { origin: "https://page.example", "access-control-request-method": "GET" };
      const answer = await fetch(at.address + path, { method, headers });
      const cors = [...answer.headers.keys()].filter((name) => name.startsWith("access-control-"));
      expect([path, method, cors]).toEqual([path, method, []]);
    }
});

test("a compressed body is read, and what is passed on to the engine is plain", async () => {
  await using at = await testGateway();
  const plain = Buffer.from(JSON.stringify(hello));
  const send = (encoding: string, body: Buffer<ArrayBuffer>) =>
    fetch(`${at.address}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${at.key}`, "content-encoding": encoding },
      body,
    });
  for (const [encoding, body] of [
    ["gzip", gzipSync(plain)],
    ["zstd", zstdCompressSync(plain)],
  ] as [string, Buffer<ArrayBuffer>][])
    expect((await send(encoding, body)).status).toBe(200);
  expect(at.engine.seen.map(({ body }) => (body as typeof hello).messages)).toEqual([hello.messages, hello.messages]);
  const refused = await send("compress", plain);
  expect([refused.status, refused.headers.get("accept-encoding")]).toEqual([415, "gzip, deflate, br, zstd"]);
  expect(((await refused.json()) as { error: { code: string } }).error.code).toBe("body_encoded");
  const bomb = await send("zstd", zstdCompressSync(Buffer.alloc(512 * 1024 * 1024, " ")) as Buffer<ArrayBuffer>);
  expect(bomb.status).toBe(413);
});

test("errors of Anthropic's clients name their request, on paths that do not exist too", async () => {
  await using at = await testGateway();
  for (const [path, key, status] of [
    ["/v1/complete", at.key, 404],
    ["/v1/messages", "wrong", 401],
    ["/v1/unknown/path", at.key, 404],
  ] as const) {
    const headers = { ...anthropic, "x-api-key": key };
    const answer = await fetch(at.address + path, { method: "POST", headers, body: "{}" });
    expect([path, answer.status]).toEqual([path, status]);
    const { type, error, request_id } = (await answer.json()) as Record<string, unknown>;
    expect({ type, error }).toMatchObject({ type: "error", error: { type: expect.any(String) } });
    expect(request_id).toBe(answer.headers.get("request-id"));
  }
  const other = await fetch(`${at.address}/v1/unknown/path`, { headers: { authorization: `Bearer ${at.key}` } });
  expect(await other.json()).toMatchObject({ error: { code: "route_not_found", type: "not_found_error" } });
});

test.each([
  ["POST", "/chat/completions", "POST /v1/chat/completions"],
  ["POST", "/v1/v1/chat/completions", "POST /v1/chat/completions"],
  ["POST", "//v1/chat/completions", "POST /v1/chat/completions"],
  ["POST", "/v1/chat/completions/", "POST /v1/chat/completions"],
  ["GET", "/v1/chat/completions", "POST /v1/chat/completions"],
  ["POST", "/openai/deployments/scripted/chat/completions", "POST /v1/chat/completions"],
  ["POST", "/v1/messages/v1/messages", "POST /v1/messages"],
  ["GET", "/models", "GET /v1/models"],
  ["POST", "/v1/images/generations", undefined],
  ["GET", "/nothing", undefined],
  ["GET", `/${"v1/".repeat(1_000)}models`, undefined],
])("%s %s is not served, and the error names the request that was meant", async (method, path, meant) => {
  await using at = await testGateway();
  const headers = { authorization: `Bearer ${at.key}` };
  const answer = await fetch(at.address + path, { method, headers, ...(method === "POST" && { body: "{}" }) });
  const { error } = (await answer.json()) as { error: { code: string; message: string } };
  expect([answer.status, error.code]).toEqual([404, "route_not_found"]);
  if (meant === undefined) expect(error.message).not.toContain("Did you mean");
  else expect(error.message).toContain(`Did you mean ${meant}?`);
});

test("the scheme of a key is read in any letters, and a header without it is told so", async () => {
  await using at = await testGateway();
  const models = async (authorization: string) => {
    const answer = await fetch(`${at.address}/v1/models`, { headers: { authorization } });
    const { error } = (await answer.json()) as { error?: { message: string } };
    return [answer.status, error?.message.split(".")[0]];
  };
  for (const scheme of ["Bearer", "bearer", "BEARER"])
    expect(await models(`${scheme} ${at.key}`)).toEqual([200, undefined]);
  const noKey = [401, "The authorization header does not begin with `Bearer `, so it names no key"];
  expect(await models(at.key)).toEqual(noKey);
  expect(await models(`Basic ${Buffer.from(`x:${at.key}`).toString("base64")}`)).toEqual(noKey);
});
