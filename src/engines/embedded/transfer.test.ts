// KV transfer between two real worker processes of one folder, through the adapter: prefill on one and decode on the other, a conversation
// that another worker continues, and both cases with lost files, gone callers and dead workers.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { limits } from "../limits.ts";
import type { EngineAnswer, EngineRequest } from "../types.ts";
import { createEmbeddedEngine } from "./adapter.ts";
import type { EmbeddedEngine } from "./adapter.ts";
import { blockHashes, saltOf } from "./blocks.ts";
import { startTestWorker } from "./testing.ts";
import type { TestWorker } from "./testing.ts";

const kvDir = mkdtempSync(path.join(tmpdir(), "lineshaft-kv-"));
const workers: TestWorker[] = [];
let a: EmbeddedEngine;
let b: EmbeddedEngine;
let attempts = 0;

async function start(more: Parameters<typeof startTestWorker>[0] = {}): Promise<EmbeddedEngine> {
  const worker = await startTestWorker({ kvDir, slots: 3, contextTokens: 1024, ...more });
  workers.push(worker);
  return createEmbeddedEngine({ url: worker.url, token: worker.headers["authorization"]!.slice("Bearer ".length) });
}

beforeAll(async () => {
  a = await start();
  b = await start();
});
afterAll(async () => {
  for (const worker of workers) await worker.stop();
  rmSync(kvDir, { recursive: true, force: true });
});

/** A prompt of some 190 tokens that no other test uses. */
const story = (who: string) => `${who} oils the line shaft of the mill, and counts its wheels. `.repeat(12);
const ask = (content: string, hints: object = {}, more: object = {}): EngineRequest => ({
  shape: "chat",
  body: { model: "small", messages: [{ role: "user", content }], temperature: 0, max_tokens: 16, ...more },
  hints: { attempt: `att_${++attempts}`, cacheSalt: "org_1", project: "prj_1", ...hints },
});
const textOf = async (answer: EngineAnswer) => (await answer.whole()).deltas[0]!.text!;
const say = async (engine: EmbeddedEngine, request: EngineRequest) => {
  const answer = await engine.open(request);
  return { text: await textOf(answer), usage: answer.usage()!, pulled: answer.pulledTokens?.() };
};
const stateFiles = () => readdirSync(kvDir).filter((name) => name.endsWith(".state")).length;

test("both name the same pool, and say what they keep at what price", async () => {
  const [one, other] = await Promise.all([a.probe(), b.probe()]);
  expect(one.kv!.pool).toBe(other.kv!.pool);
  expect(one.kv).toMatchObject({ deviceTokens: 3 * 1024 });
  expect(one.kv!.bytesPerToken).toBe(23_040);
  expect(one.kv!.totalTokens).toBe(3 * 1024 + Math.floor((2 * 1024 ** 3) / one.kv!.bytesPerToken));
  expect(one.kv!.reloadMsPerToken.disk).toBeGreaterThan(0);
  expect(one.capabilities).toMatchObject({ takesTokens: true });
});

describe("prefill here, decode there", () => {
  test("the decoder computes the last token alone, and says what one worker would", async () => {
    const content = story("Ada");
    const counted = (await a.tokenize("chat", ask(content).body, "org_1"))!;
    const request = ask(content, { program: "run_ada", promptTokens: counted.tokens });
    const kept = await a.kv.prefill(request);
    expect(kept).toMatchObject({
      tokens: counted.count - 1,
      usage: { promptTokens: counted.count - 1, cachedTokens: 0 },
    });
    expect(kept.timings.prefillMs).toBeGreaterThan(0);
    expect(kept.leaseMs).toBeGreaterThan(60_000);
    // The worker that has the state on its device computes the same token from the same state, bit by bit.
    const said = (await say(a, ask(content, { program: "run_ada" }))).text;
    for (const stream of [false, true]) {
      const transfer = { state: kept.state!, tokens: kept.tokens };
      const hints = { program: "run_ada", promptTokens: counted.tokens, transfer };
      const answer = await b.open(ask(content, hints, { stream }));
      expect(answer.pulledTokens?.()).toBe(kept.tokens);
      let text = "";
      if (stream) for await (const { deltas } of answer.chunks) text += deltas[0]?.text ?? "";
      else text = await textOf(answer);
      expect(text).toBe(said);
      const usage = answer.usage()!;
      expect(usage.promptTokens - usage.cachedTokens).toBe(1);
      if (!stream) expect(usage.cachedByTier).toEqual({ device: 0, disk: kept.tokens });
    }
    // The prefill worker keeps its sequence as cache, and the next prompt continues it.
    const next = await a.kv.prefill(ask(`${content} And now?`, { program: "run_ada" }));
    expect(next.usage.cachedByTier!.device).toBeGreaterThan(counted.count - 64);
    await a.kv.release(kept.state!);
    await b.kv.release(next.state!);
    expect(readdirSync(kvDir).filter((name) => name.endsWith(".lease"))).toEqual([]);
  });

  test("a completion goes the same way", async () => {
    const prompt = story("Bea");
    const completion = (hints: object): EngineRequest => ({
      shape: "completions",
      body: { model: "small", prompt, temperature: 0, max_tokens: 8 },
      hints: { attempt: `att_${++attempts}`, cacheSalt: "org_1", project: "prj_1", ...hints },
    });
    const kept = await a.kv.prefill(completion({}));
    const answer = await b.open(completion({ transfer: { state: kept.state!, tokens: kept.tokens } }));
    await answer.whole();
    expect(answer.usage()!.cachedTokens).toBe(kept.tokens);
    await a.kv.release(kept.state!);
  });

  test("a state that is gone is lost before the first byte, and the call can be tried again", async () => {
    const content = story("Cas");
    const kept = await a.kv.prefill(ask(content));
    await a.kv.eraseProject("prj_1");
    const transfer = { state: kept.state!, tokens: kept.tokens };
    const lost = { code: "kv_lost", retryable: true };
    await expect(b.open(ask(content, { transfer }))).rejects.toMatchObject(lost);
    await expect(b.open(ask(content, { transfer }, { stream: true }))).rejects.toMatchObject(lost);
    await expect(b.open(ask(content, { transfer: { state: "who", tokens: 1 } }))).rejects.toMatchObject(lost);
    expect((await say(b, ask(content))).text.length).toBeGreaterThan(0);
  });

  test("a state that was damaged on its way is lost, not read", async () => {
    const content = story("Dan");
    const before = new Set(readdirSync(kvDir));
    const kept = await a.kv.prefill(ask(content));
    const state = readdirSync(kvDir).find((name) => name.endsWith(".state") && !before.has(name))!;
    const file = path.join(kvDir, state);
    writeFileSync(file, Buffer.alloc(100, 7), { flag: "r+" });
    const transfer = { state: kept.state!, tokens: kept.tokens };
    await expect(b.open(ask(content, { transfer }))).rejects.toMatchObject({ code: "kv_lost" });
  });

  test("a caller that stops it learns what was computed by then", async () => {
    // A worker that was told to stop ends the step under way first, which takes a busy machine more than ten seconds.
    const { drainMs } = limits;
    Object.assign(limits, { drainMs: 120_000 });
    onTestFinished(() => void Object.assign(limits, { drainMs }));
    const gone = new AbortController();
    const { totals } = await a.status();
    const prefilling = a.kv.prefill(ask(story("Eve").repeat(4), {}, {}), gone.signal);
    const over = prefilling.then(() => true);
    while ((await a.status()).running === 0 && !(await Promise.race([over, false])));
    gone.abort();
    const stopped = await prefilling;
    const { computedTokens, aborts } = (await a.status()).totals;
    if (stopped.state === undefined) {
      expect(stopped.tokens).toBe(0);
      expect(aborts).toBe(totals.aborts + 1);
    }
    expect(stopped.usage.promptTokens - stopped.usage.cachedTokens).toBe(computedTokens - totals.computedTokens);
    expect((await a.kv.prefill(ask(story("Eve")), AbortSignal.abort())).state).toBeUndefined();
  });

  test("a prompt that does not fit is refused as a call would be", async () => {
    await expect(a.kv.prefill(ask(story("Fay").repeat(8)))).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
    });
    await expect(a.kv.prefill(ask("x", { promptTokens: [10_000_000] }))).rejects.toMatchObject({ status: 400 });
  });
});

describe("one conversation, two workers", () => {
  test.each(["share", "demote"] as const)("%s on one, and the other goes on from disk", async (verb) => {
    const content = story(`Gus ${verb}`);
    const program = `run_${verb}`;
    const first = await say(a, ask(content, { program }));
    const [receipt] = await a.kv.hint([{ verb, program }]);
    expect(receipt).toMatchObject({ verb, program, honoured: true });
    const messages = [
      { role: "user", content },
      { role: "assistant", content: first.text },
      { role: "user", content: "And then?" },
    ];
    const tokens = (await a.tokenize("chat", { messages }, "org_1"))!.tokens!;
    const request = () => ask("", { program, promptTokens: tokens }, { messages });
    const there = await say(b, request());
    expect(there.usage.cachedByTier!.disk).toBe(receipt!.tokens);
    expect(there.pulled).toBeUndefined();
    const here = await say(a, request());
    expect(here.usage.cachedByTier!.device).toBe(receipt!.tokens);
    expect(there.text).toBe(here.text);
    // A worker that served given tokens knows the conversation's tokens afterwards.
    const turns = [...messages, { role: "assistant", content: there.text }, { role: "user", content: "Go on." }];
    const known = (await b.tokenize("chat", { messages: turns }, "org_1"))!.tokens!;
    expect(known.slice(0, tokens.length)).toEqual(tokens);
    expect(await b.tokenize("chat", { messages: turns }, "org_1")).toEqual(
      await a.tokenize("chat", { messages: turns }, "org_1"),
    );
    await a.kv.tell([{ type: "run_ended", program }]);
  });

  test("what one has kept and removed, the other tells in its own events", async () => {
    const request = ask(story("Hal"), { program: "run_hal" });
    await say(a, request);
    const { tokens } = (await a.tokenize("chat", request.body, "org_1"))!;
    const names = blockHashes(saltOf("org_1"), tokens!);
    await a.kv.hint([{ verb: "share", program: "run_hal" }]);
    const stop = new AbortController();
    const disk = new Set<string>();
    const numbers: number[] = [];
    let stored = false;
    for await (const event of b.kv.watch(undefined, stop.signal)) {
      numbers.push(event.sequence);
      if (event.type === "cleared") disk.clear();
      for (const block of event.tier === "disk" ? event.blocks! : [])
        if (event.type === "stored") disk.add(block);
        else disk.delete(block);
      const held = names.filter((name) => disk.has(name)).length;
      if (!stored && held === names.length) {
        stored = true;
        await a.kv.tell([{ type: "run_ended", program: "run_hal" }]);
      }
      if (stored && held === 0) stop.abort();
    }
    expect(numbers).toEqual(numbers.map((_, place) => numbers[0]! + place));
  });

  test("a call under way is shared as far as it has got, and says what it would have said", async () => {
    const content = story("Ian");
    const going = await a.open(ask(content, { program: "run_ian" }, { stream: true, max_tokens: 200 }));
    const chunks = going.chunks[Symbol.asyncIterator]();
    for (let chunk = 0; chunk < 4; chunk++) await chunks.next();
    const [receipt] = await a.kv.hint([{ verb: "share", program: "run_ian" }]);
    expect(receipt).toMatchObject({ honoured: true });
    expect(receipt!.tokens).toBeGreaterThan(150);
    const there = await say(b, ask(content, { program: "run_ian" }));
    expect(there.usage.promptTokens - there.usage.cachedTokens).toBe(1);
    await going.cancel();
  });
});

describe("leases", () => {
  test("keep a state while the budget is full; released, it goes as any other", async () => {
    const bytes = (await a.probe()).kv!.bytesPerToken;
    const dir = mkdtempSync(path.join(tmpdir(), "lineshaft-kv-"));
    const small = await start({ kvDir: dir, kvBudgetBytes: Math.ceil(bytes * 300) });
    const content = story("Ida");
    const kept = await small.kv.prefill(ask(content));
    await say(small, ask(story("Jon"), { program: "run_jon" }));
    expect((await small.kv.hint([{ verb: "demote", program: "run_jon" }]))[0]).toMatchObject({ honoured: false });
    await small.kv.release(kept.state!);
    expect((await small.kv.hint([{ verb: "demote", program: "run_jon" }]))[0]).toMatchObject({ honoured: true });
    expect((await small.status()).disk.files).toBe(1);
    rmSync(dir, { recursive: true, force: true });
  });

  test("outlive the worker that computed it", async () => {
    const c = await start();
    const content = story("Kim");
    const kept = await c.kv.prefill(ask(content));
    const said = (await say(c, ask(content))).text;
    const worker = workers.pop()!;
    worker.process.kill("SIGKILL");
    const files = stateFiles();
    const transfer = { state: kept.state!, tokens: kept.tokens };
    const answer = await say(b, ask(content, { transfer }));
    expect(answer).toMatchObject({ text: said, pulled: kept.tokens });
    expect(stateFiles()).toBeGreaterThanOrEqual(files);
    await b.kv.release(kept.state!);
  });
});

test("a dropped program's files still serve the pool, and another worker can prefetch them", async () => {
  const content = story("Leo");
  await say(a, ask(content, { program: "run_leo" }));
  const receipts = await a.kv.hint(
    (["share", "drop", "prefetch", "keep"] as const).map((verb) => ({ verb, program: "run_leo" })),
  );
  expect(receipts.map(({ honoured }) => honoured)).toEqual([true, true, true, true]);
  expect(new Set(receipts.map(({ tokens }) => tokens)).size).toBe(1);
  expect((await a.probe()).kv!.reloadMsPerToken.disk).not.toBe(0.006);
  const [there] = await b.kv.hint([{ verb: "prefetch", program: "run_leo" }]);
  expect(there).toMatchObject({ honoured: true, tokens: receipts[0]!.tokens });
  expect((await say(b, ask(content, { program: "run_leo" }))).usage.cachedByTier!.device).toBeGreaterThan(150);
});
