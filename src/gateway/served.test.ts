// What a call does while another attempt is begun to go on with its answer, through the gateway over scripted engines.
import { expect, test } from "vitest";
import { createEngine } from "../engines/kinds.ts";
import { scriptedEngine, type Script } from "../engines/testing.ts";
import { uncounted } from "../governance/usage/counted.ts";
import { memoryGateway } from "./testing/memoryGateway.ts";

const broken: Script = { chunks: ["Once ", "upon ", "a "], cut: 3, chunkTokens: 1, usage: { prompt: 10, output: 9 } };
const never = new Promise<void>(() => {});

/** The model `scripted` at two endpoints, of which the first that is asked breaks off. */
async function pair(then: Script) {
  const open = (url: string) => createEngine("openai", { url, model: "scripted" });
  const counts: number[] = [];
  const limiter = { begin: () => ({ ...uncounted, output: (tokens: number) => void counts.push(tokens) }) };
  const at = await memoryGateway({ open, limiter });
  const other = await scriptedEngine({}, ["scripted"], 0, { routes: {}, card: { owned_by: "sglang" } });
  const opened = open(other.url);
  const facts = await opened.probe();
  at.engines.add("scripted", opened, { kind: "openai", model: "scripted", endpoint: "other", facts });
  const engines = [at.engine, other];
  const seen = () => engines.flatMap((engine) => engine.seen);
  for (const engine of engines) engine.decide = () => (seen().length === 1 ? broken : then);
  return {
    at,
    counts,
    seen,
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
    },
  };
}

test("a reader that stops while another attempt is begun stops that attempt, although its engine is silent", async () => {
  await using two = await pair({ wait: never });
  const answer = await two.at.gateway.call(two.at.request({ stream: true }));
  const chunks = answer.chunks[Symbol.asyncIterator]();
  const reading = (async () => {
    for (;;) if ((await chunks.next()).done) return "over";
  })().catch((error: { code: string }) => error.code);
  await expect.poll(() => two.seen().length, { interval: 1 }).toBe(2);
  await chunks.return!();
  expect(await reading).toBe("engine_unreachable");
  const attempts = two.at.ledger.settlements.map(({ row }) => row as { why: string; status: string });
  expect(attempts.map(({ why, status }) => `${why} ${status}`)).toEqual(["first failed", "continued cancelled"]);
  expect((await answer.finished).status).toBe("cancelled");
  expect(two.at.ledger.heldNano).toBe(0n);
  await two.seen()[1]!.gone;
});

test("limits on use count what goes on with an answer on top of what came before", async () => {
  await using two = await pair({ chunks: [" time", "."], chunkTokens: 1, usage: { prompt: 14, output: 2 } });
  const answer = await two.at.gateway.call(two.at.request({ stream: true }));
  let text = "";
  for await (const { deltas } of answer.chunks) text += deltas[0]?.text ?? "";
  expect(text).toBe("Once upon a time.");
  expect(two.counts).toEqual(two.counts.toSorted((a, b) => a - b));
  expect(two.counts.at(-1)).toBe(5);
});
