// Text that Postgres cannot keep (NUL, half of a surrogate pair), from clients and from engines. It is refused at the boundary or
// made storable, and a record that the database refuses all the same never holds up the records of other calls.
import { expect, test } from "vitest";
import { hello, rows, testGateway } from "../../src/api/testing.ts";

const nul = "\u0000";
const lone = "\ud800";

test("a model name that cannot be stored is refused by name, and lists go on", async () => {
  await using at = await testGateway();
  for (const model of [`scripted${nul}`, `scripted${lone}`, "m".repeat(5000)]) {
    const refused = await at.request("/v1/chat/completions", {
      method: "POST",
      body: JSON.stringify({ ...hello, model }),
    });
    expect(refused.status).toBe(400);
    expect(refused.body.error).toMatchObject({ param: "model", code: "invalid_value" });
    expect(refused.body.error.message).toMatch(/model/);
  }
  await at.client().chat.completions.create(hello);
  const listed = await at.request("/api/calls");
  expect(listed.status).toBe(200);
  expect(listed.body.data.map((one: { model: string }) => one.model)).toEqual(["scripted"]);
});

test("what an engine says about itself is made storable before it is recorded", async () => {
  await using at = await testGateway();
  at.engine.usual = {
    raw: {
      body: JSON.stringify({
        id: "x",
        object: "chat.completion",
        choices: [
          { index: 0, message: { role: "assistant", content: "yes" }, finish_reason: `stop${nul}${"x".repeat(9000)}` },
        ],
        usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
      }),
    },
  };
  await at.client().chat.completions.create(hello);
  at.engine.usual = {
    fail: { status: 500, body: { error: { message: `bad${nul}`, code: `c${nul}${lone}${"y".repeat(9000)}` } } },
  };
  await at
    .client()
    .chat.completions.create(hello)
    .catch(() => {});
  const { calls } = await rows(at);
  expect(calls).toHaveLength(2);
  expect(calls[0]!["finish_reason"]).toMatch(/^stop\ufffdx+$/);
  expect(calls[0]!["finish_reason"].length).toBeLessThanOrEqual(100);
  expect(calls[1]!["error_code"].length).toBeLessThanOrEqual(100);
  const listed = await at.request("/api/calls");
  expect(listed.body.data).toHaveLength(2);
});

test.each([
  ["POST", "/api/keys", { name: `k${nul}` }],
  ["POST", "/api/keys", { name: `k${lone}` }],
  ["PUT", "/api/budgets", { scope: { kind: "agent", id: nul }, limit_nano: "1" }],
  ["POST", "/api/engines", { name: "e", urls: ["http://127.0.0.1:9"], model: nul }],
  ["GET", "/api/calls?cursor=%00", undefined],
  ["GET", "/api/calls?model=a%00b", undefined],
  ["GET", "/api/calls/%00", undefined],
  ["GET", "/api/search?q=%00", undefined],
  ["GET", "/api/bill?agent=%00", undefined],
  ["DELETE", "/api/keys/%00", undefined],
  ["DELETE", "/api/budgets/a%00", undefined],
  ["GET", "/api/calls/%E0%A4%A", undefined],
  ["GET", "/api/calls/%ED%A0%80", undefined],
])("%s %s with %j is a 400 that says where", async (method, path, body) => {
  await using at = await testGateway();
  const answer = await at.request(path, { method, ...(body && { body: JSON.stringify(body) }) });
  expect(answer.status).toBe(400);
  expect(answer.body.error.message).toMatch(/name|scope\.id|model|cursor|q|agent|address|path/);
});

test("a body that is too deep is refused before anything walks it by recursion", async () => {
  await using at = await testGateway();
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const api = await at.request("/api/keys", { method: "POST", body: `{"name":${deep}}` });
  expect(api.status).toBe(400);
  expect(api.body.error.message).toMatch(/deep/);
  const call = await at.request("/v1/chat/completions", {
    method: "POST",
    body: `{"model":"scripted","messages":[{"role":"user","content":"hi"}],"metadata":${deep}}`,
  });
  expect(call.status).toBe(400);
  expect(call.body.error.message).toMatch(/deep/);
});
