// No secret leaves by a door it should not: keys never reach an engine, neither keys nor prompts nor answers reach the log, the
// database, the metrics or the live events. Canaries are sent in every place a client can write to, then looked for.
import { liveResource } from "../api/resources/live.ts";
import { expect, test } from "vitest";
import { testGateway } from "../api/testing.ts";

const canary = "canary-7f3a91";

test("a client's key, headers and words stay where they belong", async () => {
  await using at = await testGateway({ script: { chunks: [`answer-${canary}`] } });
  const events: unknown[] = [];
  const stop = new AbortController();
  const watching = (async () => {
    for await (const { event } of at.events.subscribe(at.principal, undefined, stop.signal))
      events.push(liveResource(event));
  })();
  const headers: Record<string, string> = {
    authorization: `Bearer ${at.key}`,
    "content-type": "application/json",
    "x-api-key": `${canary}-1`,
    cookie: `a=${canary}-2`,
    "openai-organization": `${canary}-3`,
    "x-custom": `${canary}-4`,
    "user-agent": `${canary}-5`,
    "proxy-authorization": `${canary}-6`,
    "x-forwarded-for": `${canary}-7`,
  };
  const send = (body: object) =>
    fetch(`${at.address}/v1/chat/completions`, { method: "POST", headers, body: JSON.stringify(body) });
  const messages = [{ role: "user", content: `prompt-${canary}` }];
  for (const stream of [false, true]) await (await send({ model: "scripted", messages, stream, user: "u" })).text();
  // Ways that fail are where secrets usually get out.
  await (await send({ model: "scripted", messages: `wrong-${canary}` })).text();
  await (await send({ model: "none", messages })).text();
  at.engine.next({ fail: { status: 500, body: `engine-${canary}` } });
  await (await send({ model: "scripted", messages })).text();
  at.engine.next({ raw: { body: `not json ${canary}` } });
  await (await send({ model: "scripted", messages })).text();
  await fetch(`${at.address}/v1/models`, { headers: { authorization: `Bearer ${canary}-8` } });
  await at.request("/api/keys", { method: "POST", body: `{"name": ${canary}` });
  await at.gateway.flushed();
  stop.abort();
  await watching;

  for (const { headers: sent } of at.engine.seen) {
    const text = JSON.stringify(sent);
    expect(text).not.toContain(canary);
    expect(text).not.toContain(at.key);
    expect(Object.keys(sent)).not.toContain("authorization");
  }
  const stored = await at.db.query<{ text: string }>(
    `select string_agg(t::text, ' ') as text from (
       select calls::text as t from calls union all select attempts::text from attempts union all select leases::text from leases
       union all select settlements::text from settlements union all select keys::text from keys) everything`,
  );
  const metrics = await at.metrics.registry.metrics();
  for (const [place, text] of Object.entries({
    log: at.logged.join("\n"),
    database: stored.rows[0]!.text,
    metrics,
    events: JSON.stringify(events),
  })) {
    expect([place, text.includes(canary)]).toEqual([place, false]);
    expect([place, text.includes(at.key)]).toEqual([place, false]);
  }
  expect(at.logged.length).toBeGreaterThan(0);
  expect(events.length).toBeGreaterThan(4);
});

test("metrics tell models, engines and outcomes apart, and nothing a caller can name", async () => {
  await using at = await testGateway();
  const hello = { messages: [{ role: "user" as const, content: "hi" }] };
  await at.client().chat.completions.create({ ...hello, model: "scripted" });
  for (let wrong = 0; wrong < 3; wrong++)
    await at
      .client()
      .chat.completions.create({ ...hello, model: `made-up-${wrong}` })
      .catch(() => {});
  const { body } = await at.request("/metrics");
  expect(body).toContain('lineshaft_calls_total{model="scripted",outcome="completed"} 1');
  expect(body).toContain('lineshaft_calls_total{model="unknown",outcome="refused"} 3');
  expect(body).toContain('lineshaft_tokens_total{model="scripted",kind="output"} 4');
  expect(body).toContain("lineshaft_holds_open 0");
  expect(body).not.toContain("made-up");
  for (const line of (body as string).split("\n"))
    if (line.startsWith("# HELP")) expect(line.split(" ").length).toBeGreaterThan(5);
});
