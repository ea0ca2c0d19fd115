// What happens between the scheduler and the engines, with engines that are puppets: no time, no network.
import { describe, expect, test } from "vitest";
import type { KvEvent } from "../../engines/index.ts";
import { type Call, ChainCache, tokenSpace } from "../../scheduler/index.ts";
import { stage } from "./testing.ts";

const tokens = Uint32Array.from({ length: 200 }, (_, at) => at);
const blocks = new ChainCache().update("", tokenSpace("m", 64), "org", tokens);
const never = new AbortController().signal;

const call = (id: string, more: Partial<Call> = {}): Call => ({
  id,
  tenant: "org",
  deployment: "m",
  promptTokens: 200,
  outputTokens: 10,
  prompt: [blocks],
  ...more,
});

/** Events that say: these three blocks lie here. */
const stored = (epoch: string, sequence = 0): KvEvent => ({
  type: "stored",
  sequence,
  epoch,
  tier: "device",
  blocks: ["a1", "a2", "a3"],
  parent: null,
  tokens: [...tokens.slice(0, 192)],
  salt: "org",
});

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("waiting", () => {
  test("a call waits until there is room, and is placed when another ends", async () => {
    using at = stage();
    at.add("one", { slots: 1 });
    // One that runs, and one that waits there.
    const first = await at.dispatcher.place(call("a"), never);
    expect(first.chosen.endpoint).toBe("one");
    await at.dispatcher.place(call("b"), never);
    let placed = false;
    const third = Promise.resolve(at.dispatcher.place(call("c"), never)).then(() => (placed = true));
    await settled();
    expect([placed, at.dispatcher.snapshot().queued]).toEqual([false, 1]);
    at.dispatcher.ended("a", { reason: "done" });
    await third;
    at.dispatcher.ended("b", { reason: "done" });
    at.dispatcher.ended("c", { reason: "done" });
    expect(at.dispatcher.snapshot()).toMatchObject({ queued: 0, placed: 0, openHandles: 0 });
  });

  test("a call that is no longer wanted leaves nothing behind", async () => {
    using at = stage();
    at.add("one", { slots: 1 });
    for (const id of ["a", "b"]) await at.dispatcher.place(call(id), never);
    const gone = new AbortController();
    const waiting = at.dispatcher.place(call("c"), gone.signal);
    gone.abort();
    await expect(waiting).rejects.toMatchObject({ code: "client_gone" });
    for (const id of ["a", "b"]) at.dispatcher.ended(id, { reason: "done" });
    expect(at.dispatcher.snapshot()).toMatchObject({ queued: 0, placed: 0, openHandles: 0 });
  });

  test("the alarm of an endpoint that is ejected goes when the endpoint is removed", async () => {
    using at = stage();
    at.add("one");
    at.add("two");
    const { chosen } = await at.dispatcher.place(call("a"), never);
    at.dispatcher.outcome("a", chosen.endpoint, "connect");
    at.dispatcher.ended("a", { reason: "failed" });
    expect(at.alarms.list()).toMatchObject([{ code: "endpoint_ejected", subject: chosen.endpoint }]);
    at.engines.remove(chosen.endpoint);
    expect(at.alarms.list()).toEqual([]);
  });

  test("refusals say what is wrong and when to come back", async () => {
    using at = stage();
    await expect(async () => at.dispatcher.place(call("a"), never)).rejects.toMatchObject({
      status: 503,
      code: "no_endpoint",
    });
    at.add("one");
    const late = call("b", { deadlineMs: performance.now() - 1 });
    await expect(async () => at.dispatcher.place(late, never)).rejects.toMatchObject({
      status: 429,
      code: "deadline_unreachable",
      retryAfterSeconds: expect.any(Number),
    });
    const long = call("c", { promptTokens: 1_000_000 });
    await expect(async () => at.dispatcher.place(long, never)).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
    });
  });
});

describe("endpoints", () => {
  test("KV events of an endpoint draw calls there; an event that is missing has the stream asked for anew", async () => {
    using at = stage();
    const [one, two] = [at.add("one"), at.add("two")];
    two.send(stored("two"));
    await settled();
    const { chosen, runnerUp } = await at.dispatcher.place(call("a"), never);
    expect([chosen.endpoint, chosen.matchedTokens, runnerUp?.matchedTokens]).toEqual(["two", 192, 0]);
    expect([one.watches, two.watches]).toEqual([1, 1]);
    two.send({ ...stored("two"), sequence: 5 });
    await settled();
    await settled();
    expect([one.watches, two.watches]).toEqual([1, 2]);
  });

  test("one that did not answer is passed over while another may; when none may, all are tried", async () => {
    using at = stage("round-robin");
    at.add("one", { kind: "openai" });
    at.add("two", { kind: "openai" });
    const place = async (id: string) => (await at.dispatcher.place(call(id), never)).chosen.endpoint;
    at.engines.lost(at.engines.get("one")!, "no answer");
    expect([await place("a"), await place("b")]).toEqual(["two", "two"]);
    at.engines.lost(at.engines.get("two")!, "no answer");
    expect(new Set([await place("c"), await place("d")])).toEqual(new Set(["one", "two"]));
    at.engines.answered(at.engines.get("one")!);
    expect([await place("e"), await place("f")]).toEqual(["one", "one"]);
  });

  test("a worker that broke off is waited for, and serves again as soon as it answers", async () => {
    using at = stage();
    at.add("one");
    at.engines.lost(at.engines.get("one")!, "it closed the connection");
    const waits = at.dispatcher.place(call("a"), never);
    expect(at.dispatcher.snapshot().queued).toBe(1);
    // It was its connection alone: asked, it answers.
    expect((await waits).chosen.endpoint).toBe("one");
    expect(at.engines.get("one")!.up).toBe(true);
  });

  test("a deployment's policy may change while it serves", async () => {
    using at = stage();
    at.add("one");
    at.engines.configure("m", { placement: "least-load" });
    expect((await at.dispatcher.place(call("a"), never)).policy).toBe("least-load");
    at.engines.configure("m", { placement: "round-robin" });
    expect((await at.dispatcher.place(call("b"), never)).policy).toBe("round-robin");
  });
});

describe("programs", () => {
  test("a program that moves: its state is shared first, and makes room where it was once the new one has a token", async () => {
    using at = stage("round-robin");
    at.add("one");
    at.add("two");
    const of = { program: "run_1" };
    const first = (await at.dispatcher.place(call("a", of), never)).chosen.endpoint;
    at.dispatcher.prefilled("a");
    at.dispatcher.ended("a", { reason: "done", usage: { promptTokens: 200, cachedTokens: 0, outputTokens: 10 } });
    expect(at.dispatcher.lastOf("run_1", "m")).toBe(first);
    at.puppets[first]!.send(stored(first));
    await settled();
    const moved = await at.dispatcher.place(call("b", of), never);
    expect(moved.chosen.endpoint).not.toBe(first);
    expect(moved.bring).toEqual({ endpoint: first, tokens: 192 });
    await at.dispatcher.bring(moved, "run_1");
    expect(at.asked).toEqual([`${first} share run_1`]);
    at.dispatcher.prefilled("b");
    await settled();
    // Not dropped: under the session's name another of its agents may have something there that was never saved.
    expect(at.asked).toEqual([`${first} share run_1`, `${first} demote run_1`]);
  });

  test("what a decision counts on is brought, however little more it is than what the other endpoint has", async () => {
    using at = stage("round-robin");
    at.add("one");
    at.add("two");
    const of = { program: "run_1" };
    const first = (await at.dispatcher.place(call("a", of), never)).chosen.endpoint;
    at.dispatcher.ended("a", { reason: "done", usage: { promptTokens: 200, cachedTokens: 0, outputTokens: 10 } });
    const other = first === "one" ? "two" : "one";
    at.puppets[first]!.send(stored(first));
    at.puppets[other]!.send({ ...stored(other), blocks: ["a1", "a2"], tokens: [...tokens.slice(0, 128)] });
    await settled();
    const moved = await at.dispatcher.place(call("b", of), never);
    expect(moved).toMatchObject({ chosen: { endpoint: other, matchedTokens: 192 }, bring: { tokens: 64 } });
    await at.dispatcher.bring(moved, "run_1");
    expect(at.asked).toEqual([`${first} share run_1`]);
  });

  test("a run that waits long is parked, and brought back when the result arrives", async () => {
    using at = stage();
    // Little memory, so that room is wanted.
    at.add("one", { slots: 1 });
    for (const [id, program] of [
      ["a", "run_1"],
      ["b", "run_2"],
    ] as const) {
      await at.dispatcher.place(call(id, { program, promptTokens: 3_000 }), never);
      at.dispatcher.prefilled(id);
      at.dispatcher.ended(id, { reason: "done", usage: { promptTokens: 3_000, cachedTokens: 0, outputTokens: 10 } });
    }
    at.dispatcher.fact({ type: "tool_started", program: "run_1", tool: "ask", kind: "approval" });
    at.dispatcher.fact({ type: "tool_ended", program: "run_1", tool: "ask" });
    at.dispatcher.fact({ type: "run_ended", program: "run_2" });
    await settled();
    expect(at.asked).toEqual(["one demote run_1", "one prefetch run_1", "one drop run_2"]);
  });
});
