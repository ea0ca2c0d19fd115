// The official client, the gateway, the ledger and a real worker with the real small model, together.
import { expect, test } from "vitest";
import { createEmbeddedEngine } from "../engines/embedded/adapter.ts";
import { startTestWorker } from "../engines/embedded/testing.ts";
import { limits } from "../api/limits.ts";
import { testGateway, testPrices } from "../api/testing.ts";

test("a conversation on the embedded engine: cached tokens in the bill, phases in the record, a client that leaves", async () => {
  await using at = await testGateway();
  const worker = await startTestWorker({ slots: 2, contextTokens: 1024 });
  try {
    const engine = createEmbeddedEngine({
      url: worker.url,
      token: worker.headers["authorization"]!.slice("Bearer ".length),
    });
    const entry = at.engines.add("small", engine, { kind: "embedded", model: "small" });
    await at.engines.probe(entry);
    await at.ledger.setRateCard({
      organisation: at.principal.organisation,
      model: "small",
      currency: "USD",
      ...testPrices,
    });
    const client = at.client();
    const messages: { role: "user" | "assistant"; content: string }[] = [
      { role: "user", content: `${"The shaft turns. ".repeat(40)} What turns?` },
    ];
    const ask = { model: "small", temperature: 0, seed: 1, max_tokens: 12 };
    const first = await client.chat.completions.create({ ...ask, messages });
    messages.push(
      { role: "assistant", content: first.choices[0]!.message.content! },
      { role: "user", content: "And then?" },
    );
    let usage;
    const stream = await client.chat.completions.create({
      ...ask,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) usage = chunk.usage ?? usage;
    expect(usage!.prompt_tokens_details!.cached_tokens).toBeGreaterThan(120);

    const [call] = (await at.request("/api/calls")).body.data;
    const cached = BigInt(usage!.prompt_tokens_details!.cached_tokens!);
    expect(BigInt(call.price_nano)).toBe(
      (BigInt(usage!.prompt_tokens) - cached) * 3n + cached + BigInt(usage!.completion_tokens) * 7n,
    );
    const { body: detail } = await at.request(`/api/calls/${call.id}`);
    expect(detail.attempts[0].phases.map((phase: { name: string }) => phase.name)).toEqual(
      expect.arrayContaining(["admit", "prefill", "decode", "settle"]),
    );
    expect(detail.attempts[0].cached_by_tier).not.toBeNull();
    expect((await at.request("/api/overview")).body.saved.prefill_ms).toBeGreaterThan(0);

    // KV goes with its project: the same turn is computed anew.
    expect((await at.request("/api/kv-cache", { method: "DELETE" })).body).toMatchObject({ erased: ["small"] });
    const anew = await client.chat.completions.create({ ...ask, messages });
    expect(anew.usage!.prompt_tokens_details!.cached_tokens).toBe(0);

    // What the worker cannot do is refused before it is asked, what is too long by itself.
    await expect(client.chat.completions.create({ ...ask, messages, n: 2 })).rejects.toMatchObject({
      status: 400,
      param: "n",
    });
    await expect(
      client.chat.completions.create({ ...ask, messages: [{ role: "user", content: "word ".repeat(3000) }] }),
    ).rejects.toMatchObject({ status: 400 });

    const leaving = await client.chat.completions.create({
      ...ask,
      max_tokens: 500,
      messages: [{ role: "user", content: "Count to a thousand." }],
      stream: true,
    });
    let chunks = 0;
    for await (const _ of leaving) if (++chunks === 3) break;
    await at.gateway.close({ graceMs: 20_000 });
    await at.gateway.flushed();
    const { rows } = await at.db.query(
      "select c.status, s.usage_source, s.output_tokens < 500 as stopped from calls c join attempts a on a.call = c.id join settlements s on s.attempt = a.id order by c.id desc limit 1",
    );
    expect(rows).toEqual([{ status: "cancelled", usage_source: "engine", stopped: true }]);
    expect((await at.ledger.prove()).discrepancies).toEqual([]);
  } finally {
    await worker.stop();
  }
});

test("bytes flow while a long prompt is computed, and the answer follows", async () => {
  await using at = await testGateway();
  const worker = await startTestWorker({ slots: 1, contextTokens: 4_096 });
  const usual = { ...limits };
  // A prompt of two thousand tokens takes longer than this on any machine.
  Object.assign(limits, { quietMs: 5, beatMs: 20, waitingTickMs: 2 });
  try {
    const token = worker.headers["authorization"]!.slice("Bearer ".length);
    const entry = at.engines.add("small", createEmbeddedEngine({ url: worker.url, token }), {
      kind: "embedded",
      model: "small",
    });
    await at.engines.probe(entry);
    const { organisation } = at.principal;
    await at.ledger.setRateCard({ organisation, model: "small", currency: "USD", ...testPrices });
    const response = await fetch(`${at.address}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${at.key}`, "content-type": "application/json" },
      body: JSON.stringify({
        model: "small",
        stream: true,
        max_tokens: 4,
        messages: [{ role: "user", content: `${"The shaft turns the mill. ".repeat(350)} What turns?` }],
      }),
    });
    const text = await response.text();
    const [waited, answered] = [text.indexOf(": waiting"), text.indexOf("data: {")];
    expect(waited).toBe(0);
    expect(answered).toBeGreaterThan(waited);
    expect(text.slice(0, answered).match(/: waiting/g)!.length).toBeGreaterThan(1);
    expect(text).toContain("[DONE]");
  } finally {
    Object.assign(limits, usual);
    await worker.stop();
  }
});
