// The process is killed while a call has its second attempt: one that continues an answer, and one beside a silent first. After the next
// start the call has one record, whose money is that of its attempts, and the proof of the ledger finds nothing.
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Client } from "../src/cli/client.ts";
import type { Bill, Call, Proof } from "../src/contract/index.ts";
import { scriptedEngine, type Script } from "../src/engines/testing.ts";
import { startInstance } from "./setup/instance.ts";

const never = new Promise<void>(() => {});
const usage = { prompt: 10, output: 9 };
/** What the two requests of a call are answered by, in their order, before the process is killed. */
const ways: { name: string; scripts: [Script, Script]; text: string }[] = [
  {
    name: "continued",
    scripts: [
      { chunks: ["Once ", "upon"], cut: 2, chunkTokens: 1, usage },
      { chunks: [" a", " time"], wait: never, waitAfter: 1, chunkTokens: 1, usage },
    ],
    text: " a",
  },
  {
    name: "hedged",
    scripts: [
      { wait: never, usage },
      { chunks: ["Once ", "upon"], wait: never, waitAfter: 1, chunkTokens: 1, usage },
    ],
    text: "Once",
  },
  { name: "hedged, with no token of either", scripts: [{ wait: never }, { wait: never }], text: "" },
];

test("killed in the middle of second attempts: records, bill and ledger agree", { timeout: 600_000 }, async () => {
  const own = { routes: {}, card: { owned_by: "sglang" } };
  await using one = await scriptedEngine({}, ["scripted"], 0, own);
  await using other = await scriptedEngine({}, ["scripted"], 0, own);
  await using instance = await startInstance({ env: { LINESHAFT_LOG: "error", LINESHAFT_EMBEDDING_MODEL: "none" } });
  const { address, key } = instance;
  const api = new Client({ url: address, key });
  const price = { currency: "USD", input_nano_per_million: "2000000", output_nano_per_million: "4000000" };
  await api.post("/api/engines", { name: "scripted", urls: [one.url, other.url], model: "scripted", price });

  for (const [place, { name, scripts, text }] of ways.entries()) {
    const hedge = { after_ms: 1, share: 1 };
    await api.put("/api/routes", { model: "scripted", ...(name.startsWith("hedged") && { hedge }) });
    await untilHeard(api, `heard-${place}`);
    const before = one.seen.length + other.seen.length;
    const came = () => one.seen.length + other.seen.length - before;
    for (const engine of [one, other]) engine.decide = () => scripts[came() - 1] ?? { fail: { status: 500 } };
    let read = "";
    const call = fetch(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({
        model: "scripted",
        messages: [{ role: "user", content: "hi" }],
        max_tokens: 100,
        stream: true,
      }),
    })
      .then(async ({ body }) => {
        for await (const bytes of body!) read += Buffer.from(bytes).toString();
      })
      .catch(() => {});
    while (came() < 2 || !read.includes(text)) await sleep(5);
    process.kill(instance.mainPid(), "SIGKILL");
    await call;
    // It is started again by its keeper; requests to it fail until then.
    const proof = await persistently(() => api.post<Proof>("/api/proofs", { kind: "whole" }));
    expect([name, proof.discrepancies]).toEqual([name, []]);
  }

  const calls = await api.list<Call>("/api/calls");
  expect(calls.map(({ status, error_code: code }) => [status, code])).toEqual(
    ways.map(() => ["failed", "process_ended"]),
  );
  const { total } = await api.get<Bill>("/api/bill");
  const sum = calls.reduce((all, { price_nano: nano }) => all + BigInt(nano), 0n);
  expect(BigInt(total.token_cost_nano)).toBe(sum);
  expect(sum > 0n).toBe(true);
});

/** Waits until the process knows the routes that were set: it lists a further one, which it reads with them or after them. */
async function untilHeard(api: Client, alias: string): Promise<void> {
  await api.put("/api/routes", { model: alias, serves: "scripted" });
  const listed = async () => (await api.get<{ data: { id: string }[] }>("/v1/models")).data.map(({ id }) => id);
  await expect.poll(listed).toContain(alias);
}

async function persistently<Result>(work: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await work();
    } catch {
      await sleep(250);
    }
  }
}
