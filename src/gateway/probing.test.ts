// Engines that were added are asked in the background; real HTTP, and a clock that the test moves.
import { afterEach, expect, test } from "vitest";
import { closeEgress } from "../egress/index.ts";
import { createOpenAiEngine, EngineRegistry } from "../engines/index.ts";
import { scriptedEngine } from "../engines/testing.ts";
import { limits } from "./limits.ts";
import { EngineProber } from "./probing.ts";

afterEach(closeEgress);

function registryWith(urls: string[]) {
  const engines = new EngineRegistry();
  for (const [index, url] of urls.entries())
    engines.add(`e${index}`, createOpenAiEngine({ url, model: "scripted" }), { kind: "openai", model: "scripted" });
  return engines;
}

/** Nothing listens on this port of a closed server. */
async function deadUrl(): Promise<string> {
  const engine = await scriptedEngine();
  const { url } = engine;
  await engine[Symbol.asyncDispose]();
  return url;
}

test("an engine that dies is known without a call, and one that comes back is used again", async () => {
  const engine = await scriptedEngine();
  const engines = registryWith([engine.url]);
  const endpoint = engines.get("e0")!;
  const prober = new EngineProber(engines);
  await prober.round(0);
  expect(endpoint.up).toBe(true);
  await engine[Symbol.asyncDispose]();
  await closeEgress();
  // It answered a moment ago: it is asked when its time has come, not before.
  await prober.round(limits.probeEveryMs - 1);
  expect(endpoint.up).toBe(true);
  await prober.round(limits.probeEveryMs);
  expect(endpoint).toMatchObject({ up: false, lastError: expect.stringContaining("nothing listens there") });
  const { port } = new URL(engine.url);
  await using again = await scriptedEngine({}, ["scripted"], Number(port));
  expect(again.url).toBe(engine.url);
  await prober.round(3 * limits.probeEveryMs);
  expect(endpoint).toMatchObject({ up: true, lastError: undefined });
});

test("one that stays away is asked less and less often", async () => {
  const engines = registryWith([await deadUrl()]);
  const probe = engines.probe.bind(engines);
  const askedAtMs: number[] = [];
  let nowMs = 0;
  engines.probe = (endpoint, signal) => {
    askedAtMs.push(nowMs);
    return probe(endpoint, signal);
  };
  const prober = new EngineProber(engines);
  for (; nowMs <= 300_000; nowMs += limits.probeTickMs) await prober.round(nowMs);
  const pauses = askedAtMs.slice(1).map((at, index) => at - askedAtMs[index]!);
  expect(pauses).toEqual([10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
});

test("so many are asked at once and no more, and none that serves a call", async () => {
  const engines = new EngineRegistry();
  let asking = 0;
  let most = 0;
  const asked: string[] = [];
  const waiting: (() => void)[] = [];
  for (let index = 0; index < 20; index++) {
    const engine = createOpenAiEngine({ url: "http://127.0.0.1:1", model: "m" });
    engines.add(`e${index}`, engine, { kind: "openai", model: "m" });
    engine.probe = async () => {
      asked.push(`e${index}`);
      most = Math.max(most, ++asking);
      await new Promise<void>((resolve) => waiting.push(resolve));
      asking--;
      throw new Error("away");
    };
  }
  engines.get("e3")!.running = 1;
  const prober = new EngineProber(engines);
  const rounds = [prober.round(0), prober.round(0)];
  for (let left = 19; left > 0;) {
    await new Promise((resolve) => setImmediate(resolve));
    left -= waiting.length;
    for (const answer of waiting.splice(0)) answer();
    await new Promise((resolve) => setImmediate(resolve));
    rounds.push(prober.round(0));
  }
  await Promise.all(rounds);
  expect(most).toBe(limits.probesAtOnce);
  expect(asked.toSorted()).toEqual(
    [...Array(20).keys()]
      .map((n) => `e${n}`)
      .filter((name) => name !== "e3")
      .toSorted(),
  );
});
