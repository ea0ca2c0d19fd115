// Holds that grow with the answer: what is held before a call, how it is extended, and where an answer ends whose money does. Engines are
// scripted and money is in memory, because what is tested is which tokens are passed on and which are paid for.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { CallAnswer } from "./types.ts";
import { createOpenAiEngine } from "../engines/index.ts";
import { scriptedEngine } from "../engines/testing.ts";
import { LineshaftError } from "../errors/index.ts";
import { formatMoney } from "../ledger/index.ts";
import { card, memoryGateway, type MemoryGateway } from "./testing/memoryGateway.ts";

/** Prompt of `hi` at 3: its bytes and what a template puts around it. */
const promptNano = (2n + 32n + 512n) * 3n;
const words = (count: number) => Array.from({ length: count }, (_, place) => `w${place} `);

async function textOf(answer: CallAnswer): Promise<{ text: string; finish: string | undefined; usage: any }> {
  let [text, finish, usage]: [string, string | undefined, any] = ["", undefined, undefined];
  for await (const chunk of answer.chunks) {
    for (const delta of chunk.deltas) {
      text += delta.text ?? "";
      finish = delta.finish ?? finish;
    }
    usage = chunk.usage ?? (chunk.wire.data["usage"] as object | undefined) ?? usage;
  }
  return { text, finish, usage };
}

async function askedOf(at: MemoryGateway, stream: boolean, body: Record<string, unknown> = {}) {
  const answer = await at.gateway.call(at.request({ stream, ...body }));
  if (stream) return { ...(await textOf(answer)), headers: { ...answer.headers, ...answer.lastHeaders() } };
  const whole = await answer.whole();
  const [delta] = whole.deltas;
  return { text: delta!.text, finish: delta!.finish, usage: whole.usage, headers: answer.headers, whole };
}

describe.each([true, false])("an answer (stream: %s)", (stream) => {
  test("is held for its prompt and a first window, and extended ahead of what comes", async () => {
    await using at = await memoryGateway({
      script: { chunks: words(1000), chunkTokens: 1, usage: { prompt: 10, output: 1000 } },
    });
    const { text, finish } = await askedOf(at, stream, { max_tokens: 32_000 });
    expect(text).toBe(words(1000).join(""));
    expect(finish).toBe("stop");
    // Windows double: 256, 512, 1024. Each is asked for when half of the one before is used.
    expect(at.ledger.extensions.map(({ outputTokens, seen }) => [outputTokens, seen])).toEqual([
      [768, 129],
      [1792, 513],
    ]);
    expect(at.ledger.settlements).toMatchObject([{ amountNano: 10n * 3n + 7000n, usageSource: "engine" }]);
    expect(at.ledger.held.size).toBe(0);
  });

  test("ends at the last token that is paid for, by the name of the budget, and costs what was given", async () => {
    // The engine writes no further, so that it cannot have ended before it is stopped.
    const endless = { wait: new Promise<void>(() => {}), waitAfter: 400 };
    await using at = await memoryGateway({
      script: { chunks: words(1000), chunkTokens: 1, usage: { prompt: 546, output: 1000 }, ...endless },
    });
    at.ledger.limitNano = promptNano + 300n * 7n;
    const { text, finish, headers, usage } = await askedOf(at, stream, {
      max_tokens: 32_000,
      ...(stream && { stream_options: { include_usage: true } }),
    });
    expect(text).toBe(words(300).join(""));
    expect(finish).toBe("length");
    expect(headers).toMatchObject({ "x-lineshaft-budget-cut": "bud_1", "x-lineshaft-after": "memory/1" });
    expect(usage).toMatchObject({ promptTokens: 546, outputTokens: 300 });
    // Never a cent over, and the last cent usable.
    expect(at.ledger.spentNano).toBe(at.ledger.limitNano);
    expect(at.ledger.calls).toMatchObject([{ cut_by: "bud_1", finish_reason: "length", status: "completed" }]);
    expect(at.ledger.settlements).toMatchObject([{ suspenseNano: 0n, claimed: undefined }]);
    expect(at.alarms).toEqual([]);
    await at.engine.seen[0]!.gone;
  });

  test("of chunks with several tokens ends within one", async () => {
    const script = {
      chunks: Array<string>(200).fill("abcdefgh"),
      chunkTokens: 8,
      usage: { prompt: 546, output: 1600 },
    };
    await using at = await memoryGateway({ script });
    at.ledger.limitNano = promptNano + 300n * 7n;
    const { text } = await askedOf(at, stream, { max_tokens: 32_000 });
    expect(text).toHaveLength(300);
    expect(at.ledger.spentNano).toBe(at.ledger.limitNano);
  });

  test("waits for money that another call holds instead of ending", async () => {
    await using at = await memoryGateway({
      script: { chunks: words(400), chunkTokens: 1, usage: { prompt: 546, output: 400 } },
    });
    at.ledger.limitNano = 2n * promptNano + 600n * 7n;
    const signal = new AbortController().signal;
    const other = at.ledger.hold({ ...heldByAnother(), signal });
    await other;
    const answered = askedOf(at, stream, { max_tokens: 32_000 });
    while (at.ledger.extensions.length === 0) await sleep(1);
    at.ledger.settle({
      attempt: "att_other",
      tokens: { promptTokens: 0, cachedTokens: 0, outputTokens: 0 },
      usageSource: "counted",
      row: () => undefined,
    });
    expect(await answered).toMatchObject({ finish: "stop", text: words(400).join("") });
  });

  test("has its prompt counted where it must wait, and is paid by what that was held for too much", async () => {
    await using at = await memoryGateway({
      script: { chunks: words(400), chunkTokens: 1, usage: { prompt: 10, output: 400 } },
      owner: "vllm",
      engineRoutes: { "POST /tokenize": () => ({ count: 10, max_model_len: 100_000, tokens: Array(10).fill(1) }) },
    });
    // All of it, where the prompt costs what it has; 256 tokens less, where it is held by its bound.
    at.ledger.limitNano = 10n * 3n + 400n * 7n;
    const { text, finish } = await askedOf(at, stream, { max_tokens: 32_000 });
    expect([text, finish]).toEqual([words(400).join(""), "stop"]);
    expect(at.ledger.spentNano).toBe(at.ledger.limitNano);
    expect(at.ledger.settlements).toMatchObject([{ suspenseNano: 0n }]);
  });

  test("is cancelled while it waits for money", async () => {
    const wait = new Promise<void>(() => {});
    const usage = { prompt: 546, output: 400 };
    await using at = await memoryGateway({
      script: { chunks: words(400), chunkTokens: 1, usage, wait, waitAfter: 390 },
    });
    at.ledger.limitNano = 2n * promptNano + 600n * 7n;
    await at.ledger.hold({ ...heldByAnother(), signal: new AbortController().signal });
    const gone = new AbortController();
    const asked = at.request({ stream, max_tokens: 32_000 }, { signal: gone.signal });
    const answered = (async () => textOf(await at.gateway.call(asked)))();
    answered.catch(() => {});
    while (at.ledger.extensions.length === 0) await sleep(1);
    gone.abort();
    await expect(answered).rejects.toMatchObject({ code: "client_gone" });
    await at.engine.seen[0]!.gone;
    expect([...at.ledger.held.keys()]).toEqual(["att_other"]);
    expect(at.ledger.settlements).toHaveLength(1);
  });

  test("of an engine that is not known to stop is held whole, and its limit lowered to what can be held", async () => {
    await using at = await memoryGateway({ owner: "someone", script: { usage: { prompt: 546, output: 4 } } });
    at.ledger.limitNano = promptNano + 300n * 7n;
    await askedOf(at, stream, { max_tokens: 32_000 });
    expect(at.engine.seen[0]!.body["max_tokens"]).toBe(300);
    expect(at.engine.seen[0]!.body["stream"] ?? false).toBe(stream);
    expect(at.ledger.extensions).toEqual([]);
    // It ended by itself, so nothing cut it.
    expect(at.ledger.calls).toMatchObject([{ cut_by: undefined }]);
    at.engine.next({ finishReason: "length", usage: { prompt: 0, output: 200 } });
    const { headers } = await askedOf(at, stream, { max_tokens: 32_000 });
    expect(headers).toMatchObject({ "x-lineshaft-budget-cut": "bud_1" });
    expect(at.ledger.calls[1]).toMatchObject({ cut_by: "bud_1" });
  });

  test("of such an engine that counts has the limit that its counted prompt leaves, and a failed count changes nothing", async () => {
    await using at = await memoryGateway({ owner: "someone", script: { usage: { prompt: 10, output: 4 } } });
    const { engine } = at.engines.resolve("scripted")!;
    engine.tokenize = async () => ({ count: 10 });
    at.ledger.limitNano = promptNano + 300n * 7n;
    await askedOf(at, stream, { max_tokens: 32_000 });
    expect(at.engine.seen[0]!.body["max_tokens"]).toBe(529);
    expect(at.ledger.spentNano).toBe(10n * 3n + 4n * 7n);
    engine.tokenize = async () => {
      throw new Error("It is away.");
    };
    await askedOf(at, stream, { max_tokens: 32_000 });
    expect(at.engine.seen[1]!.body["max_tokens"]).toBe(291);
    expect(at.ledger.held.size).toBe(0);
  });

  test("whose extension cannot be recorded ends with that error, not with the limit of a budget", async () => {
    await using at = await memoryGateway({
      script: { chunks: words(1000), chunkTokens: 1, usage: { prompt: 10, output: 1000 } },
    });
    at.ledger.extend = async () => {
      throw new LineshaftError({ code: "storage_full", message: "The disk has no room." });
    };
    await expect(askedOf(at, stream, { max_tokens: 32_000 })).rejects.toMatchObject({ code: "storage_full" });
    // The provider is paid for what it was asked and what was received, at most what was held.
    expect(at.ledger.settlements).toMatchObject([{ amountNano: 10n * 3n + 256n * 7n, row: { status: "failed" } }]);
    expect(at.ledger.calls).toMatchObject([{ status: "failed", error_code: "storage_full", cut_by: undefined }]);
    await at.engine.seen[0]!.gone;
  });

  test("is refused where the budget does not pay its prompt and a few tokens", async () => {
    await using at = await memoryGateway();
    at.ledger.limitNano = promptNano + 15n * 7n;
    await expect(askedOf(at, stream)).rejects.toMatchObject({ status: 429, code: "budget_exceeded" });
    expect(at.engine.seen).toHaveLength(0);
    await askedOf(at, stream, { max_tokens: 15 });
  });
});

describe("a call that goes to an engine that is not known to stop, where another one was there that stops", () => {
  /** Calls go to the endpoints in turn, beginning with the one that is named. */
  async function pair(limitNano: bigint, begins: "first" | "other") {
    const at = await memoryGateway({ script: { cut: "before" } });
    at.ledger.limitNano = limitNano;
    const other = await scriptedEngine({ usage: { prompt: 546, output: 4 } }, ["scripted"], 0, {
      routes: {},
      card: { owned_by: "someone" },
    });
    at.engines.remove("scripted");
    at.engines.configure("scripted", { placement: "round-robin" });
    const both = Object.entries({ first: at.engine, other });
    for (const [endpoint, { url }] of begins === "first" ? both : both.toReversed()) {
      const engine = createOpenAiEngine({ url, model: "scripted" });
      const facts = await engine.probe();
      const allowFields = ["thinking_budget"];
      at.engines.add("scripted", engine, { kind: "openai", model: "scripted", endpoint, facts, allowFields });
    }
    return {
      at,
      other,
      async [Symbol.asyncDispose]() {
        await at[Symbol.asyncDispose]();
        await other[Symbol.asyncDispose]();
      },
    };
  }

  test("after the other one failed: is held for its whole limit, which is lowered where the money ends, by the budget's name", async () => {
    await using two = await pair(promptNano + 300n * 7n, "first");
    two.other.usual = { finishReason: "length", usage: { prompt: 546, output: 300 } };
    const { headers } = await askedOf(two.at, true, { max_tokens: 32_000 });
    expect(two.at.engine.seen).toHaveLength(1);
    expect(two.other.seen[0]!.body["max_tokens"]).toBe(300);
    expect(headers).toMatchObject({ "x-lineshaft-budget-cut": "bud_1" });
  });

  test("is refused by the budget's name, and with what it needs, where not even its reasoning is paid for", async () => {
    await using two = await pair(promptNano + 300n * 7n, "other");
    const asked = askedOf(two.at, true, { max_tokens: 32_000, thinking_budget: 1_000 });
    await expect(asked).rejects.toMatchObject({ status: 429, code: "budget_exceeded" });
    const needed = formatMoney(promptNano + 1_001n * 7n, "USD");
    await expect(asked).rejects.toThrow(`${needed} are needed for the prompt and the shortest answer`);
    await expect(asked).rejects.toThrow("The budget of project prj (bud_1) does not allow this call");
    expect([two.at.engine.seen, two.other.seen]).toEqual([[], []]);
    expect(two.at.ledger.held.size).toBe(0);
  });
});

/** A hold that leaves the first window of one more call and little beyond. */
function heldByAnother() {
  return {
    attempt: "att_other",
    call: "call_other",
    organisation: "org_test",
    project: "prj_test",
    key: "key_test",
    agent: undefined,
    run: undefined,
    rateCard: card,
    promptTokens: 546,
    outputTokens: 256,
    whole: false,
    leastOutputTokens: 16,
    context: undefined,
  };
}

test("what the engine counts for us is not in a stream whose client did not ask for it", async () => {
  for (const owner of ["sglang", "vllm", "llamacpp"]) {
    await using at = await memoryGateway({ owner });
    const answer = await at.gateway.call(at.request({ stream: true }));
    for await (const { wire } of answer.chunks) {
      expect(wire.data["usage"]).toBeUndefined();
      expect(wire.data["timings"]).toBeUndefined();
    }
    expect(at.ledger.settlements).toMatchObject([{ usageSource: "engine" }]);
  }
});

test("a whole answer that breaks off before its client has any of it goes to another try, and costs nothing", async () => {
  await using at = await memoryGateway();
  at.engine.next({ chunks: words(10), cut: 5 });
  expect(await askedOf(at, false)).toMatchObject({ finish: "stop" });
  expect(at.ledger.settlements.map(({ amountNano }) => amountNano)).toEqual([0n, 58n]);
});
