// A key that was revoked keeps nothing that it had begun, whichever process revoked it: streams, calls that wait, event feeds.
import { expect, test } from "vitest";
import { hello, rows, testGateway, type TestGateway } from "../../src/gateway/testing.ts";

const never = new Promise<void>(() => {});

async function memberOf(at: TestGateway): Promise<{ id: string; secret: string }> {
  const made = await at.request("/api/keys", { method: "POST", body: JSON.stringify({ name: "member" }) });
  return { id: made.body.id, secret: made.body.secret };
}

/** As another gateway process does, or a person with psql. */
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
    expect((await reader.read()).value).toContain("Hello");
    await revoke(at, id);
    let rest = "";
    for (let step = await reader.read(); !step.done; step = await reader.read()) rest += step.value;
    expect(rest).toContain('"code":"key_revoked"');
    expect(rest).not.toContain("[DONE]");
    await at.engine.seen[0]!.gone;
    const { calls, holds } = await rows(at);
    expect(calls[0]).toMatchObject({ status: "cancelled", error_code: "key_revoked", key: id });
    expect(holds).toMatchObject([{ settled: true }]);
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
  expect((await rows(at)).holds).toMatchObject([{ settled: true }]);
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
