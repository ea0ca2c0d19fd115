// What the scheduler costs: bytes per block, and the time of a decision at 1,000 endpoints with a 100,000-token prompt,
// each part apart, beside a plain radix tree that answers the same question.
//
//   npm run bench:scheduler [-- --blocks 2000000] [--endpoints 1000] [--prompt 100000] [--rounds 400] [--json FILE]
//
// --blocks: blocks held, summed over endpoints, that the index is filled with first (100000000 takes some minutes and 5 GB).
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import {
  type EndpointState,
  HashChain,
  makePolicy,
  type PlacementView,
  Scheduler,
  seededRng,
  textSpace,
  tokenSpace,
} from "../src/scheduler/index.ts";
import { ViewBuilder } from "../src/scheduler/placement/view.ts";
import { IndexedCaches } from "../src/scheduler/prefix/indexedCaches.ts";
import { buildFleet, deployment, type Fleet, randomTokens, specOf } from "./scheduler/fleet.ts";
import { measure, type Row, type Sample, table, time } from "./scheduler/measure.ts";
import { RadixTree } from "./scheduler/radixTree.ts";
import { renderAndTokenise } from "./scheduler/text.ts";

const { values } = parseArgs({
  options: {
    blocks: { type: "string", default: "2000000" },
    endpoints: { type: "string", default: "1000" },
    prompt: { type: "string", default: "100000" },
    rounds: { type: "string", default: "400" },
    json: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log("npm run bench:scheduler -- [--blocks N] [--endpoints N] [--prompt TOKENS] [--rounds N] [--json FILE]");
  process.exit(0);
}
const endpoints = Number(values.endpoints);
const promptTokens = Number(values.prompt);
const rounds = Number(values.rounds);
const systemTokens = Math.min(15_000, Math.floor(promptTokens / 4));
const newTokens = 1000;
const keep = 40;
const rows: Row[] = [];
const results: Record<string, unknown> = {
  machine: `${cpus().length} x ${cpus()[0]?.model}`,
  node: process.version,
  endpoints,
  promptTokens,
  newTokens,
};

function add(what: string, sample: Sample, note: string): Sample {
  rows.push({ what, median: time(sample.medianUs), p99: time(sample.p99Us), cpu: time(sample.cpuUs), note });
  return sample;
}

function gc(): void {
  (globalThis as { gc?: () => void }).gc?.();
}

function fill(blockTokens: number, heldBlocks: number, remember: boolean): Fleet {
  const maxBytes = Math.max(256 << 20, heldBlocks * 100);
  return buildFleet(
    { endpoints, blockTokens, heldBlocks, promptTokens, systemTokens, seed: 1, maxBytes },
    keep,
    remember,
  );
}

function memory(fleet: Fleet, before: number, blockTokens: number): void {
  gc();
  const stats = fleet.scheduler.index.stats();
  const rss = process.memoryUsage().rss - before;
  const perHeld = stats.bytes / stats.held;
  results[`memory${blockTokens}`] = { ...stats, bytesPerHeldBlock: perHeld, rssBytes: rss, fillMs: fleet.fillMs };
  rows.push({
    what: `index, blocks of ${blockTokens}`,
    median: `${perHeld.toFixed(1)} B`,
    note: `per block held: ${stats.held.toLocaleString("en")} held at ${endpoints} endpoints (${stats.blocks.toLocaleString("en")} distinct, ${stats.sets} sets) in ${(stats.bytes / 2 ** 20).toFixed(0)} MiB; filled at ${(stats.held / fleet.fillMs / 1000).toFixed(2)} M blocks/s`,
  });
}

/** The decision at one block size, part by part. */
function decision(fleet: Fleet, blockTokens: number): void {
  const { scheduler, conversations } = fleet;
  const space = tokenSpace("bench-model", blockTokens);
  const of = (round: number) => conversations[round % conversations.length]!;
  const rng = seededRng(2);
  const tail = randomTokens(newTokens, rng);
  const chains = conversations.map(({ tokens }) => {
    const chain = new HashChain(space, "");
    chain.update(tokens.subarray(0, promptTokens - newTokens));
    return chain;
  });
  const turns = conversations.map(({ tokens }) => {
    const turn = tokens.slice();
    turn.set(tail, promptTokens - newTokens);
    return turn;
  });
  const shorter = conversations.map(({ tokens }) => tokens.slice(0, promptTokens - newTokens));
  const label = `blocks of ${blockTokens}`;
  const whole = add(
    `hash all, ${label}`,
    measure(rounds, (round) => new HashChain(space, "").update(of(round).tokens)),
    "a prompt seen for the first time",
  );
  const hashNew = add(
    `hash what is new, ${label}`,
    measure(rounds, (round) => {
      const at = round % chains.length;
      // Both prompts in turns: the longer one hashes its last 1,000 tokens, the shorter one only compares.
      chains[at]!.update(round % (2 * chains.length) < chains.length ? turns[at]! : shorter[at]!);
    }),
    `${newTokens} new tokens after ${promptTokens - newTokens} compared`,
  );
  const match = add(
    `match, ${label}`,
    measure(rounds, (round) => scheduler.index.match(of(round).prompt, 0)),
    `${Math.floor(promptTokens / blockTokens)} blocks, about 92 % cached at 1 to 3 endpoints, the system prompt at all`,
  );
  const staircase = add(
    `match, worst case, ${label}`,
    measure(rounds, () => scheduler.index.match(fleet.document, 0)),
    "a document that every endpoint holds to another depth",
  );
  const views = new ViewBuilder(new IndexedCaches(scheduler.index));
  const all = scheduler.endpoints.ofDeployment(deployment);
  const policy = makePolicy("least-delay");
  const callOf = (round: number, prompt = of(round).prompt) => ({
    id: `call-${round}`,
    tenant: "t",
    deployment,
    promptTokens,
    outputTokens: 300,
    prompt: [prompt],
  });
  const view = views.build(callOf(0), all, () => true, 0);
  const choose = add(
    `choose, least-delay, ${label}`,
    measure(rounds, () => policy.choose(view, rng)),
    `${view.count} candidates`,
  );
  let ended = 0;
  const decide = add(
    `decide, ${label}`,
    measure(rounds, (round) => {
      scheduler.decide(callOf(round), 0, rng);
      ended = round;
    }),
    "queue, match, view, choose, record, expected blocks",
  );
  for (let round = 0; round <= ended; round++)
    scheduler.apply({ at: 1, type: "call_ended", call: `call-${round}`, reason: "done" });
  const totalUs = hashNew.medianUs + match.medianUs + choose.medianUs;
  rows.push({
    what: `hash new + match + choose, ${label}`,
    median: time(totalUs),
    p99: time(hashNew.p99Us + match.p99Us + choose.p99Us),
    cpu: time(hashNew.cpuUs + match.cpuUs + choose.cpuUs),
    note: "to be at most 1 ms",
  });
  results[`decision${blockTokens}`] = {
    hashAll: whole,
    hashNew,
    match,
    matchWorst: staircase,
    choose,
    decide,
    totalUs,
  };
}

/** The same blocks in a radix tree of objects; its answers must be equal. */
function compareTree(fleet: Fleet): void {
  gc();
  const before = process.memoryUsage().heapUsed;
  const tree = new RadixTree();
  const start = performance.now();
  for (const { hashes, blocks, slot } of fleet.inserted) tree.insert(hashes, blocks, slot);
  const insertMs = performance.now() - start;
  gc();
  const bytes = process.memoryUsage().heapUsed - before;
  const { index } = fleet.scheduler;
  for (const prompt of [...fleet.conversations.map((conversation) => conversation.prompt), fleet.document]) {
    const found = tree.match(prompt.hashes, prompt.blocks);
    index.match(prompt, 0);
    for (const [slot, blocks] of found) {
      if (index.confirmed.total[slot] !== blocks)
        throw new Error(`tree says ${blocks}, index ${index.confirmed.total[slot]}`);
    }
    if (found.size !== index.confirmed.count)
      throw new Error(`tree finds ${found.size}, index ${index.confirmed.count}`);
  }
  const of = (round: number) => fleet.conversations[round % fleet.conversations.length]!.prompt;
  const match = measure(rounds, (round) => tree.match(of(round).hashes, of(round).blocks));
  add("radix tree: match", match, "the same prompts, equal answers");
  const worst = measure(Math.min(rounds, 100), () => tree.match(fleet.document.hashes, fleet.document.blocks));
  add("radix tree: match, worst case", worst, "the same document, equal answers");
  rows.push({
    what: "radix tree: memory",
    median: `${(bytes / fleet.held).toFixed(1)} B`,
    note: `per block held, ${tree.nodes} nodes; cannot remove a block by its engine's hash; filled at ${(fleet.held / insertMs / 1000).toFixed(2)} M blocks/s`,
  });
  results["radixTree"] = { match, worst, bytesPerHeldBlock: bytes / fleet.held, nodes: tree.nodes };
}

/** A choice among endpoints that hold nothing of the prompt, alone and beside three other gateways whose word is 50 ms old. */
function manyGateways(count: number): void {
  const rng = seededRng(5);
  const states = Array.from({ length: count }, (_, slot): EndpointState => {
    const inFlight = 4 + Math.floor(rng() * 20);
    const prefillTokens = Math.floor(rng() * 8000);
    const load = {
      prefillTokens,
      kvTokens: inFlight * 4000,
      inFlight,
      prefilling: 1,
      peersPlaced: 0,
      peersPlacedTokens: 0,
    };
    const peers = { peersInFlight: Math.floor((inFlight * 3) / 4), peersPrefill: Math.floor((prefillTokens * 3) / 4) };
    return { slot, spec: { ...specOf(slot, 64, "none"), slots: 64 }, load: { ...load, ...peers }, health: "ready" };
  });
  const call = { id: "call", tenant: "t", deployment, promptTokens: 4000, outputTokens: 300, prompt: [] };
  const sampleAt = (peersAgeMs: number): Sample => {
    const policy = makePolicy("least-delay");
    const nothing = { matched: new Float64Array(count * 4), matchedTokens: new Float64Array(count) };
    const expectedTokens = new Float64Array(count);
    const view: PlacementView = { call, now: 0, count, endpoints: states, ...nothing, expectedTokens, peersAgeMs };
    return measure(2000, (round) => {
      // Each endpoint gets a call of peers every second.
      view.now = round * 10;
      for (let i = round % 100; i < count; i += 100) {
        const load = states[i]!.load as { peersPlaced: number; peersPlacedTokens: number };
        load.peersPlaced++;
        load.peersPlacedTokens += 4000;
      }
      policy.choose(view, rng);
    });
  };
  const one = add(`choose, ${count} endpoints, one gateway`, sampleAt(0), "nothing cached");
  const four = add(`choose, ${count} endpoints, four gateways`, sampleAt(50), "counts what peers have placed unseen");
  results[`gateways${count}`] = { one, four };
}

/** All scheduling work of a call at a small fleet: how many calls a second one core can schedule. */
function smallFleet(): void {
  const space = tokenSpace("bench-model", 64);
  const small = new Scheduler({ rng: seededRng(3) });
  for (let i = 0; i < 8; i++) small.apply({ at: 0, type: "endpoint_joined", spec: specOf(i, 64, space.name) });
  const rng = seededRng(4);
  const prompts = Array.from({ length: 500 }, () => new HashChain(space, "").update(randomTokens(12_000, rng)));
  let now = 0;
  const sample = measure(20_000, (round) => {
    const id = `small-${round}`;
    now += 1;
    small.decide(
      {
        id,
        tenant: `t${round % 5}`,
        deployment,
        promptTokens: 12_000,
        outputTokens: 300,
        prompt: [prompts[round % 500]!],
      },
      now,
    );
    small.apply({ at: now, type: "call_prefilled", call: id });
    small.apply({
      at: now,
      type: "call_ended",
      call: id,
      reason: "done",
      usage: { promptTokens: 12_000, cachedTokens: 0, outputTokens: 300 },
    });
  });
  add(
    "a call's whole way, 8 endpoints",
    sample,
    `decide, first token, end; 12,000-token prompts: ${Math.round(1e6 / sample.cpuUs).toLocaleString("en")} calls/s`,
  );
  results["smallFleet"] = sample;
}

async function text(): Promise<void> {
  const parts = await renderAndTokenise(promptTokens, Math.min(rounds, 20));
  if (parts.render !== undefined)
    add("render", parts.render, `${parts.bytes.toLocaleString("en")} bytes through the model's chat template`);
  if (parts.tokenise !== undefined)
    add("tokenise", parts.tokenise, `${parts.tokens.toLocaleString("en")} tokens, the whole prompt`);
  for (const note of parts.notes) rows.push({ what: "", note });
  const words = [Buffer.from(parts.text)];
  add(
    "hash as text",
    measure(rounds, () => new HashChain(textSpace("bench"), "").update(words)),
    "256-byte blocks, the whole prompt",
  );
  results["text"] = { bytes: parts.bytes, render: parts.render, tokenise: parts.tokenise };
}

const before = process.memoryUsage().rss;
const main = fill(64, Number(values.blocks), false);
memory(main, before, 64);
decision(main, 64);
for (const blockTokens of [32, 16]) decision(fill(blockTokens, 0, false), blockTokens);
compareTree(fill(64, 0, true));
for (const count of [32, 1000]) manyGateways(count);
smallFleet();
await text();
console.log(`${results["machine"]}, Node ${process.version}, ${endpoints} endpoints, ${promptTokens} tokens\n`);
console.log(table(rows));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
