// What an engine's owner allows it, through the whole gateway: an engine that never connects, never answers, stalls in the middle, or is
// given more calls than it takes. Each attempt has a hold and a row of its own, and what can go elsewhere does.
import { createServer, type AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { createOpenAiEngine, type EndpointBounds } from "../engines/index.ts";
import { scriptedEngine, type Script, type ScriptedEngine } from "../engines/testing.ts";
import { memoryGateway, type MemoryGateway } from "./testing/memoryGateway.ts";

const never = new Promise<void>(() => {});

/** The model `scripted` at an endpoint that answers, after one with bounds that calls go to first. */
async function bounded(
  bounds: EndpointBounds,
  { url, script = {}, alone = false }: { url?: string; script?: Script; alone?: boolean },
) {
  const at = await memoryGateway();
  onTestFinished(() => at[Symbol.asyncDispose]());
  const engine = await scriptedEngine(script, ["scripted"], 0, { routes: {}, card: { owned_by: "sglang" } });
  onTestFinished(() => engine[Symbol.asyncDispose]());
  const { facts } = at.engines.get("scripted")!;
  if (alone) at.engines.remove("scripted");
  const opened = createOpenAiEngine({ url: url ?? engine.url, model: "scripted", bounds });
  at.engines.add("scripted", opened, {
    kind: "openai",
    model: "scripted",
    endpoint: "a-bounded",
    bounds,
    ...(facts && { facts }),
  });
  at.engines.configure("scripted", { placement: "round-robin" });
  if (!alone) await ended(at, { max_tokens: 8 });
  return { at, engine };
}

/** One call to its end: its error, and the ways of its attempts. What is held is given back, and sums agree. */
async function ended(at: MemoryGateway, body: Record<string, unknown>) {
  let code: string | undefined;
  let text = "";
  try {
    const answer = await at.gateway.call(at.request(body));
    if (body["stream"] === true) for await (const { deltas } of answer.chunks) text += deltas[0]?.text ?? "";
    else await answer.whole();
    await answer.finished;
  } catch (error) {
    code = (error as { code: string }).code;
  }
  const call = at.ledger.calls.at(-1);
  const rows = at.ledger.settlements.map(({ row }) => row as any).filter((row) => row?.call === call.id);
  const price = rows.reduce<bigint>((sum, row) => sum + BigInt(row.price_nano), 0n);
  expect(price).toBe(BigInt(call.price_nano));
  expect(at.ledger.heldNano).toBe(0n);
  return { code, text, call, ways: rows.map((row) => `${row.engine} ${row.status}`) };
}

/** An address that takes connections and never answers the handshake that https begins with. */
async function unconnectable(): Promise<string> {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

const elsewhere = ["a-bounded failed", "scripted completed"];

describe.each([false, true])("a call (stream: %s)", (stream) => {
  test("at an engine that never connects goes elsewhere after the time to connect", async () => {
    const { at } = await bounded({ connectMs: 50 }, { url: await unconnectable() });
    const { code, ways } = await ended(at, { stream });
    expect(code).toBeUndefined();
    expect(ways).toEqual(elsewhere);
  });

  test("at an engine that never answers goes elsewhere after the time to the first token", async () => {
    const { at, engine } = await bounded({ firstTokenMs: 50 }, { script: { wait: never } });
    const { code, ways } = await ended(at, { stream });
    expect(code).toBeUndefined();
    expect(ways).toEqual(elsewhere);
    // On a busy machine the time may be over before the request was sent.
    await engine.seen[0]?.gone;
  });

  test("that has nowhere else to go fails after that time, instead of waiting for ever", async () => {
    const { at } = await bounded({ firstTokenMs: 50 }, { script: { wait: never }, alone: true });
    const { code, call } = await ended(at, { stream });
    expect(code).toBe("engine_timeout");
    expect(call).toMatchObject({ status: "failed", price_nano: "0" });
  });
});

describe("an engine that stalls in the middle", () => {
  const stalling: Script = { chunks: ["12345678", "never"], wait: never, waitAfter: 1 };

  test("ends a stream with an error, and what has passed is paid for", async () => {
    const { at, engine } = await bounded({ idleMs: 50 }, { script: stalling, alone: true });
    const { code, text, call, ways } = await ended(at, { stream: true });
    expect(code).toBe("engine_timeout");
    expect(text).toBe("12345678");
    expect(ways).toEqual(["a-bounded failed"]);
    expect(BigInt(call.price_nano)).toBeGreaterThan(0n);
    await engine.seen[0]!.gone;
  });

  test("has its stream continued by another endpoint", async () => {
    const { at, engine } = await bounded({ idleMs: 50 }, { script: stalling });
    const { code, text, ways } = await ended(at, { stream: true });
    expect(code).toBeUndefined();
    expect(text).toBe("12345678Hello, world.");
    expect(ways).toEqual(elsewhere);
    await engine.seen[0]!.gone;
  });

  test("loses a call of which its client has seen nothing to another endpoint", async () => {
    const { at } = await bounded({ idleMs: 50 }, { script: stalling });
    const { code, ways } = await ended(at, {});
    expect(code).toBeUndefined();
    expect(ways).toEqual(elsewhere);
  });

  test("is not taken for stalled while its client is the one that does not read", async () => {
    const long = Array.from({ length: 64 }, () => "x".repeat(16_384));
    const { at } = await bounded({ idleMs: 2_500 }, { script: { chunks: long }, alone: true });
    const answer = await at.gateway.call(at.request({ stream: true, max_tokens: 1_000_000 }));
    const iterator = answer.chunks[Symbol.asyncIterator]();
    await iterator.next();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    let read = 0;
    for (let step = await iterator.next(); !step.done; step = await iterator.next()) read++;
    await answer.finished;
    expect(read).toBeGreaterThan(60);
  });
});

describe("an engine that is given one call at a time", () => {
  const taking = () => {
    const held = Promise.withResolvers<void>();
    return { held, script: { chunks: ["one", "two"], wait: held.promise } };
  };
  const seenBy = (engine: ScriptedEngine) => engine.seen.length;

  test("has a second call wait for its turn, which is not refused", async () => {
    const { held, script } = taking();
    const { at, engine } = await bounded({ concurrency: 1 }, { script, alone: true });
    const calls = [1, 2, 3].map(() => at.gateway.call(at.request({})).then((answer) => answer.whole()));
    await expect.poll(() => seenBy(engine)).toBe(1);
    // Calls are placed as they come, so one that could go would have gone by now.
    await new Promise((resolve) => setImmediate(resolve));
    expect(seenBy(engine)).toBe(1);
    held.resolve();
    await Promise.all(calls);
    expect(seenBy(engine)).toBe(3);
  });

  test("has further calls go to another endpoint while it is taken", async () => {
    const { held, script } = taking();
    const { at, engine } = await bounded({ concurrency: 1 }, { script });
    const before = seenBy(at.engine);
    const first = ended(at, {});
    await expect.poll(() => seenBy(engine)).toBe(1);
    for (let call = 0; call < 3; call++) await at.gateway.call(at.request({})).then((answer) => answer.whole());
    expect(seenBy(engine)).toBe(1);
    expect(seenBy(at.engine)).toBe(before + 3);
    held.resolve();
    expect((await first).code).toBeUndefined();
  });
});
