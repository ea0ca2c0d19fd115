// Revoking a key ends everything that it had begun, whichever process revoked it: streams, waiting calls and event feeds.
import { request as httpRequest } from "node:http";
import { expect, test, vi } from "vitest";
import { hello, rows, testGateway, type TestGateway } from "../../src/api/testing.ts";

const never = new Promise<void>(() => {});

async function memberOf(at: TestGateway): Promise<{ id: string; secret: string }> {
  const made = await at.request("/api/keys", { method: "POST", body: JSON.stringify({ name: "member" }) });
  return { id: made.body.id, secret: made.body.secret };
}

/** Revokes by SQL, as another gateway process does, or a person with psql. */
const revokeElsewhere = (at: TestGateway, id: string) =>
  at.db.query("update keys set revoked_at = '2020-01-01' where id = $1", [id]);
const revokeHere = (at: TestGateway, id: string) => at.request(`/api/keys/${id}`, { method: "DELETE" });

test.each([
  ["here", revokeHere],
  ["by another process", revokeElsewhere],
] as const)(
  "a key revoked %s: its stream ends with the reason, the engine is told, what was used is settled",
  async (_, revoke) => {
    await using at = await testGateway();
    const { id, secret } = await memberOf(at);
    at.engine.usual = { chunks: ["Hello", " world"], wait: never, waitAfter: 1 };
    const response = await fetch(`${at.address}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}` },
      body: JSON.stringify({ ...hello, stream: true }),
    });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let begun = "";
    while (!begun.includes("Hello")) begun += (await reader.read()).value;
    await revoke(at, id);
    let rest = "";
    for (let step = await reader.read(); !step.done; step = await reader.read()) rest += step.value;
    expect(rest).toContain('"code":"key_revoked"');
    expect(rest).not.toContain("[DONE]");
    await at.engine.seen[0]!.gone;
    const { calls, settlements } = await rows(at);
    expect(calls[0]).toMatchObject({ status: "cancelled", error_code: "key_revoked", key: id });
    expect(settlements).toHaveLength(1);
  },
);

test("a call that waits for its answer is refused and settled", async () => {
  await using at = await testGateway();
  const { id, secret } = await memberOf(at);
  at.engine.usual = { wait: never };
  const answer = at.client({ key: secret }).chat.completions.create(hello);
  while (at.engine.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await revokeElsewhere(at, id);
  await expect(answer).rejects.toMatchObject({ status: 401, code: "key_revoked" });
  expect((await rows(at)).settlements).toHaveLength(1);
});

test("feeds of live events end with the reason; those of other keys go on", async () => {
  await using at = await testGateway();
  const { id, secret } = await memberOf(at);
  const feed = await fetch(`${at.address}/api/events`, { headers: { authorization: `Bearer ${secret}` } });
  const other = await fetch(`${at.address}/api/events`, { headers: { authorization: `Bearer ${at.key}` } });
  await revokeElsewhere(at, id);
  expect(await feed.text()).toMatch(/event: error\n.*"code":"key_revoked"/);
  await at.client().chat.completions.create(hello);
  const reader = other.body!.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  while (!seen.includes("event: call")) seen += (await reader.read()).value;
  await reader.cancel();
});

/** A request whose body is held back after its first bytes, by a sender that pads JSON with spaces. */
function heldBack(at: TestGateway, key: string, method: string, path: string, body: string) {
  const answer = Promise.withResolvers<{ status: number; body: any }>();
  const padded = Buffer.from(`${body.slice(0, -1)}${" ".repeat(100)}}`);
  const request = httpRequest(at.address + path, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      "content-length": String(padded.length),
    },
  });
  request.on("error", answer.reject);
  request.on("response", async (response) => {
    let text = "";
    for await (const piece of response) text += piece;
    answer.resolve({ status: response.statusCode!, body: JSON.parse(text) });
  });
  request.write(padded.subarray(0, -1));
  return { answer: answer.promise, finish: () => request.end(padded.subarray(-1)) };
}

test.each([
  ["a new key of an owner", "POST", "/api/keys", { name: "afterwards", role: "owner" }],
  ["a secret", "PUT", "/api/secrets/afterwards", { value: "long-enough-for-a-secret", hosts: ["example.org"] }],
  ["a chat", "POST", "/v1/chat/completions", hello],
  ["a completion", "POST", "/v1/completions", { model: "scripted", prompt: "hi" }],
])("a body that ends after its key was revoked does nothing: %s", async (_, method, path, body) => {
  await using at = await testGateway();
  const { key, secret } = await at.identity.createKey({
    organisation: at.principal.organisation,
    project: at.principal.project,
    name: "thief",
    role: "owner",
  });
  const authenticate = vi.spyOn(at.identity, "authenticate");
  const sent = heldBack(at, secret, method, path, JSON.stringify(body));
  while (authenticate.mock.settledResults.every(({ type }) => type !== "fulfilled"))
    await new Promise((resolve) => setImmediate(resolve));
  await revokeHere(at, key.id);
  sent.finish();
  const answer = await sent.answer;
  expect(answer).toMatchObject({ status: 401, body: { error: { code: "invalid_api_key" } } });
  expect(at.engine.seen).toEqual([]);
  const made = await at.db.query("select name from keys where name = 'afterwards' union all select name from secrets");
  expect(made.rows).toEqual([]);
  expect((await rows(at)).settlements).toEqual([]);
});
