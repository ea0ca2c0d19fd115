// A call in two places: every way in which it can end, and what each leg is told.
import { expect, test } from "vitest";
import { type Call, ChainCache, tokenSpace } from "../../scheduler/index.ts";
import { SplitCall } from "./split.ts";
import type { LegRequest } from "./split.ts";
import { stage, usage, type Stage } from "./testing.ts";

const tokens = Uint32Array.from({ length: 200 }, (_, at) => at);
const blocks = new ChainCache().update("", tokenSpace("m", 64), "org", tokens);
const call: Call = {
  id: "att",
  tenant: "org",
  deployment: "m",
  promptTokens: 200,
  outputTokens: 10,
  prompt: [blocks],
};

const requestOf: LegRequest = (endpoint, leg, transfer) => ({
  shape: "chat",
  body: { model: endpoint.model },
  hints: {
    attempt: leg === undefined ? "att" : `att.${leg}`,
    cacheSalt: "org",
    project: "prj",
    ...(transfer && { transfer }),
  },
});

async function splitStage(): Promise<{ at: Stage; split: SplitCall }> {
  const at = stage();
  at.add("P", { role: "prefill" });
  at.add("D", { role: "decode" });
  const decision = await at.dispatcher.place(call, new AbortController().signal);
  expect([decision.chosen.endpoint, decision.prefill?.endpoint]).toEqual(["D", "P"]);
  const legs = { prefill: at.engines.get("P")!, decode: at.engines.get("D")! };
  return { at, split: new SplitCall(at.dispatcher, at.engines, "att", legs) };
}

/** The end that attempt.ts makes, whatever happened. */
function end({ dispatcher }: Stage, split: SplitCall, reason: "done" | "cancelled" | "failed"): void {
  split.close();
  dispatcher.ended("att", { reason, usage });
}

test("prefilled, pulled, released: the bill has what the prefill leg found cached", async () => {
  const { at, split } = await splitStage();
  using _ = at;
  const answer = await split.open(requestOf, new AbortController().signal, () => {});
  expect(at.dispatcher.billed("att", answer.usage()!).cachedTokens).toBe(64);
  end(at, split, "done");
  expect(at.asked).toEqual(["P prefill att.prefill", "D open att pulls state-1", "P release state-1"]);
  expect(at.dispatcher.snapshot()).toMatchObject({ placed: 0, openHandles: 0, splits: 0 });
});

test("KV that is lost on the way is computed anew where it decodes: never an answer without it", async () => {
  const { at, split } = await splitStage();
  using _ = at;
  at.puppets["D"]!.pulls = undefined;
  const answer = await split.open(requestOf, new AbortController().signal, () => {});
  expect(at.dispatcher.billed("att", answer.usage()!).cachedTokens).toBe(128);
  end(at, split, "done");
  expect(at.asked).toEqual([
    ...["P prefill att.prefill", "D open att pulls state-1", "P release state-1", "D open att.again"],
  ]);
  expect(at.dispatcher.snapshot()).toMatchObject({ placed: 0, openHandles: 0, splits: 0 });
});

test("a decoder that got less than it must is stopped, and computes the prompt itself", async () => {
  const { at, split } = await splitStage();
  using _ = at;
  at.puppets["D"]!.pulls = 64;
  await split.open(requestOf, new AbortController().signal, () => {});
  end(at, split, "done");
  expect(at.asked).toEqual([
    ...["P prefill att.prefill", "D open att pulls state-1", "P release state-1", "D cancel att", "D open att.again"],
  ]);
});

test("a prefill leg that fails, or keeps nothing, costs time alone", async () => {
  for (const prefilled of [
    async () => {
      throw new Error("gone");
    },
    async () => ({ state: undefined, tokens: 64, usage, timings: {}, leaseMs: 0 }),
  ]) {
    const { at, split } = await splitStage();
    using _ = at;
    at.puppets["P"]!.prefilled = prefilled;
    await split.open(requestOf, new AbortController().signal, () => {});
    end(at, split, "done");
    expect(at.asked).toEqual(["P prefill att.prefill", "D open att.again"]);
    expect(at.dispatcher.snapshot()).toMatchObject({ placed: 0, openHandles: 0, splits: 0 });
  }
});

test("a client that leaves while the prompt is computed: nothing is kept, and what was computed is known", async () => {
  const { at, split } = await splitStage();
  using _ = at;
  const gone = new AbortController();
  const { prefilled } = at.puppets["P"]!;
  at.puppets["P"]!.prefilled = async () => {
    gone.abort();
    return prefilled();
  };
  await expect(split.open(requestOf, gone.signal, () => {})).rejects.toMatchObject({ code: "client_gone" });
  expect(split.usage).toMatchObject({ promptTokens: 200, cachedTokens: 64 });
  end(at, split, "cancelled");
  expect(at.asked).toEqual(["P prefill att.prefill"]);
  expect(at.dispatcher.snapshot()).toMatchObject({ placed: 0, openHandles: 0, splits: 0 });
});

test("a client that leaves while it decodes: what waits at the prefill leg is let go", async () => {
  const { at, split } = await splitStage();
  using _ = at;
  const gone = new AbortController();
  const decoder = at.puppets["D"]!;
  const open = decoder.open.bind(decoder);
  decoder.open = async (request) => {
    gone.abort();
    return open(request);
  };
  const answer = await split.open(requestOf, gone.signal, () => {});
  await answer.cancel();
  end(at, split, "cancelled");
  expect(at.asked).toEqual(["P prefill att.prefill", "D open att pulls state-1", "P release state-1", "D cancel att"]);
});
