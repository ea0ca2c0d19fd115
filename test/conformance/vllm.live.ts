// The vLLM adapter against a real vLLM: our tokens equal its tokens, the cached tokens that its events predict equal those that it
// reports, projects do not share blocks, and after a lost message, a restart or an eviction the prediction is right again.
//
// LINESHAFT_VLLM names the `vllm` command and LINESHAFT_VLLM_MODEL a folder with a small model; docs/testing.md says how to get
// both. With LINESHAFT_VLLM_URL (and the model's name in LINESHAFT_VLLM_MODEL) a running server is used instead; it is neither
// restarted nor emptied, so fewer tests run.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createOpenAiEngine, type Engine, type EndpointFacts, type KvEvent } from "../../src/engines/index.ts";
import { connectKvEvents } from "../../src/engines/vllm/sockets.ts";
import { eventAddress } from "../../src/engines/vllm/facts.ts";
import { Salts } from "../../src/engines/vllm/salts.ts";
import { KvStream } from "../../src/engines/vllm/stream.ts";
import { translate } from "../../src/engines/vllm/translate.ts";
import { factsOf, prompts } from "./calls.ts";
import { stopAll, type Server } from "./childServer.ts";
import { blockTokens, contextTokens, slots, startVllm, vllmPorts } from "./vllm.server.ts";
import { prose, seeded, Watched } from "./vllm.watched.ts";

const command = process.env["LINESHAFT_VLLM"];
const given = process.env["LINESHAFT_VLLM_URL"];
const folder = process.env["LINESHAFT_VLLM_MODEL"];
if ((command === undefined && given === undefined) || folder === undefined)
  throw new Error(
    "Set LINESHAFT_VLLM to the `vllm` command and LINESHAFT_VLLM_MODEL to a folder with a small model (docs/testing.md).",
  );
const model = given === undefined ? "smol" : folder;

let url: string;
let server: Server | undefined;
let engine: Engine;
let facts: EndpointFacts;

async function connect(): Promise<void> {
  engine = createOpenAiEngine({ url: `${url}/v1`, model });
  // The first prompt that a server tokenises may take longer than a probe waits.
  facts = await factsOf(engine, ({ capabilities }) => capabilities.tokenize);
}

const watched = () => new Watched(engine, model, facts.blockTokens!);

/** A prefix of this run: a server that was used before may have cached the prompts of other runs. */
const random = seeded(given === undefined ? 1 : Date.now());
const words = (count: number) => prose(count, random);

describe("a server that runs", () => {
  beforeAll(async () => {
    if (given !== undefined) url = given.replace(/\/(?:v1\/?)?$/, "");
    else {
      server = await startVllm({ command: command!, model: folder, ports: await vllmPorts() });
      ({ url } = server);
    }
    await connect();
  });
  afterAll(async () => {
    await engine?.close();
    await stopAll();
  });

  test("says what it is", () => {
    expect(facts.capabilities).toMatchObject({ tokenize: true, kvEvents: true });
    expect(facts.epoch).toMatch(/^vllm\/\d+$/);
    expect(facts.kv!.deviceTokens).toBeGreaterThan(facts.contextTokens!);
    if (given === undefined) {
      expect(facts).toMatchObject({ blockTokens, contextTokens });
      // /server_info needs lscpu, which not every machine has.
      expect([slots, undefined]).toContain(facts.slots);
      expect(facts.kv!.bytesPerToken * facts.kv!.deviceTokens).toBeGreaterThan(0.99 * 2 ** 30);
    }
  });

  test.each(prompts)("tokenises %s as the call does", async (_name, endpoint, body) => {
    const prompt = await engine.tokenize(endpoint, body, "org_1");
    const { usage } = await watched().call(endpoint, body, "org_1");
    expect(prompt!.tokens).toHaveLength(prompt!.count);
    expect(usage.promptTokens).toBe(prompt!.count);
  });

  test("its events are the prompt's own tokens, under the cacheSalt's name", async () => {
    const events = watched();
    await events.settle();
    const prompt = words(200);
    const { tokens } = await events.call("completions", { prompt, max_tokens: 1 }, "org_1");
    await events.settle();
    const stored = events.seen.filter((event) => event.salt === "org_1").at(-1)!;
    expect(stored.parent).toBeNull();
    expect(stored.tokens).toEqual(tokens.slice(0, stored.tokens!.length));
    expect(stored.blocks).toHaveLength(Math.floor(tokens.length / facts.blockTokens!));
  });

  test("a prompt is matched by as many tokens as the engine then reports cached", async () => {
    const events = watched();
    const start = words(300);
    const cached: number[] = [];
    for (const end of ["", words(40), words(150), words(3)]) {
      const { matched, usage } = await events.call("completions", { prompt: start + end, max_tokens: 4 }, "org_1");
      expect(usage.cachedTokens).toBe(matched);
      cached.push(usage.cachedTokens);
    }
    expect(cached[0]).toBe(0);
    for (const tokens of cached.slice(1)) expect(tokens).toBeGreaterThan(250);
  });

  test("a growing conversation is matched with the answers that it holds", async () => {
    const events = watched();
    const messages = [{ role: "system", content: words(200) }];
    let before = 0;
    for (let turn = 0; turn < 4; turn++) {
      messages.push({ role: "user", content: words(30) });
      const { matched, usage, text } = await events.call("chat", { messages, max_tokens: 40, temperature: 0 }, "org_1");
      expect(usage.cachedTokens).toBe(matched);
      if (turn > 0) expect(usage.cachedTokens).toBeGreaterThan(before - facts.blockTokens!);
      before = usage.promptTokens;
      messages.push({ role: "assistant", content: text });
    }
  });

  test("two projects with one prompt share nothing, in the engine and in the index", async () => {
    const events = watched();
    const prompt = words(250);
    const of = (cacheSalt: string) => events.call("completions", { prompt, max_tokens: 1 }, cacheSalt);
    expect(await of("org_1")).toMatchObject({ matched: 0, usage: { cachedTokens: 0 } });
    expect(await of("org_2")).toMatchObject({ matched: 0, usage: { cachedTokens: 0 } });
    for (const cacheSalt of ["org_1", "org_2"]) {
      const { matched, usage } = await of(cacheSalt);
      expect(usage.cachedTokens).toBe(matched);
      expect(matched).toBeGreaterThan(200);
    }
  });

  test("what was cached before this process is known once its cacheSalt calls", async () => {
    const prompt = words(250);
    await watched().call("completions", { prompt, max_tokens: 1 }, "org_9");
    const other = createOpenAiEngine({ url: `${url}/v1`, model });
    onTestFinished(() => other.close());
    await other.probe();
    const events = new Watched(other, model, facts.blockTokens!);
    await events.settle();
    const strangers = events.seen.filter((event) => event.salt?.startsWith("unknown/"));
    expect(strangers.length).toBeGreaterThan(0);
    await other.tokenize("completions", { prompt }, "org_9");
    await expect.poll(() => events.match(prompt, "org_9"), { timeout: 30_000, interval: 200 }).toBeGreaterThan(200);
  });

  test("a caller who has gone stops the engine", async () => {
    const running = async () =>
      Number(/^vllm:num_requests_running\{.*\} (\S+)$/m.exec(await (await fetch(`${url}/metrics`)).text())![1]);
    const answer = await engine.open({
      shape: "completions",
      body: { model, prompt: words(20), max_tokens: 1500, min_tokens: 1500, stream: true },
      hints: { attempt: "att_1", cacheSalt: "org_1", project: "prj_1" },
    });
    await answer.chunks[Symbol.asyncIterator]().next();
    expect(await running()).toBe(1);
    // vLLM says its usage with every chunk, because it is asked to.
    expect(await answer.cancel()).toMatchObject({ source: "engine" });
    await expect.poll(running, { timeout: 10_000, interval: 100 }).toBe(0);
  });

  test("a message that gets lost is replayed, in the same epoch", async () => {
    let losing = false;
    let lost = 0;
    const address = eventAddress(await (await fetch(`${url}/kv_event_sources`)).json(), new URL(url).hostname)!;
    const salts = new Salts();
    for (const cacheSalt of ["org_1", "org_marker"]) salts.of(cacheSalt);
    const stream = new KvStream({
      connect: async (signal) => {
        const connection = await connectKvEvents(address, signal);
        const live = async function* () {
          for await (const frames of connection.live())
            if (losing) lost++;
            else yield frames;
        };
        return { replays: true, live, replay: (from) => connection.replay(from), close: () => connection.close() };
      },
      newEpoch: () => `lossy/${lost}`,
      translate: (event) => translate(event, { ownerOf: (salt) => salts.ownerOf(salt) }),
    });
    const events = new Watched(engine, model, facts.blockTokens!, (_since, signal) => stream.read(signal));
    await events.settle();
    const { epoch } = events.seen.at(-1)!;
    // The events of two calls are dropped. The gap is noticed when the event of the third arrives.
    losing = true;
    const prompts = [words(120), words(120)];
    for (const prompt of prompts) await events.send({ prompt, max_tokens: 1 }, "org_1");
    await expect.poll(() => lost).toBeGreaterThan(1);
    losing = false;
    await events.settle();
    expect(events.seen.at(-1)!.epoch).toBe(epoch);
    expect(events.seen.map((event) => event.sequence)).toEqual(events.seen.map((_, at) => at));
    for (const prompt of prompts) {
      const { matched, usage } = await events.call("completions", { prompt, max_tokens: 1 }, "org_1");
      expect(matched).toBeGreaterThan(90);
      expect(usage.cachedTokens).toBe(matched);
    }
  });

  test("a reader who was away gets what happened meanwhile, and nothing twice", async () => {
    const events = watched();
    await events.settle();
    const before = events.seen.at(-1)!;
    await events.leave();
    const prompt = words(120);
    await events.send({ prompt, max_tokens: 1 }, "org_1");
    events.come({ epoch: before.epoch, sequence: before.sequence + 1 });
    const { matched, usage } = await events.call("completions", { prompt, max_tokens: 1 }, "org_1");
    expect(usage.cachedTokens).toBe(matched);
    expect(matched).toBeGreaterThan(90);
    expect(events.seen.map((event) => event.sequence)).toEqual(events.seen.map((_, at) => at));
  });
});

describe.runIf(command !== undefined)("a server of the suite's own", () => {
  let ports: Awaited<ReturnType<typeof vllmPorts>>;
  const small = () => startVllm({ command: command!, model: folder, ports, blocks: 80, ring: 12 });
  beforeAll(async () => {
    ports = await vllmPorts();
    server = await small();
    ({ url } = server);
    await connect();
  });
  afterAll(async () => {
    await engine?.close();
    await stopAll();
  });

  test("emptied, it holds nothing, and the index knows", async () => {
    const events = watched();
    const prompt = words(200);
    await events.call("completions", { prompt, max_tokens: 1 }, "org_1");
    await events.settle();
    expect(await events.match(prompt, "org_1")).toBeGreaterThan(150);
    expect((await fetch(`${url}/reset_prefix_cache`, { method: "POST" })).status).toBe(200);
    const { matched, usage } = await events.call("completions", { prompt, max_tokens: 1 }, "org_1");
    expect([matched, usage.cachedTokens]).toEqual([0, 0]);
  });

  test("under eviction the index is right about every prompt", async () => {
    const events = watched();
    const trunks = [words(150), words(300), words(450)];
    let evicted = 0;
    let hits = 0;
    for (let call = 0; call < 40; call++) {
      const trunk = trunks[Math.floor(random() * trunks.length)]!;
      const cut = trunk.slice(0, Math.floor(trunk.length * (0.3 + 0.7 * random())));
      const cacheSalt = `org_${1 + Math.floor(random() * 2)}`;
      const { matched, usage } = await events.call(
        "completions",
        { prompt: cut + words(40), max_tokens: 8 },
        cacheSalt,
      );
      expect(usage.cachedTokens, `call ${call}`).toBe(matched);
      hits += usage.cachedTokens > 0 ? 1 : 0;
    }
    evicted = events.seen.filter((event) => event.type === "removed").length;
    expect(evicted).toBeGreaterThan(10);
    expect(hits).toBeGreaterThan(5);
  });

  test("a reader who was away for longer than the engine remembers begins anew", async () => {
    const events = watched();
    await events.settle();
    const before = events.seen.at(-1)!;
    await events.leave();
    for (let call = 0; call < 30; call++) await events.send({ prompt: words(60), max_tokens: 1 }, "org_1");
    const from = events.seen.length;
    events.come({ epoch: before.epoch, sequence: before.sequence + 1 });
    await events.settle();
    const fresh = events.seen.slice(from);
    expect(fresh[0]).toMatchObject({ type: "cleared", sequence: 0 });
    expect(fresh[0]!.epoch).not.toBe(before.epoch);
    expect(fresh.map((event: KvEvent) => event.sequence)).toEqual(fresh.map((_, at) => at));
  });

  test("restarted, it is another epoch: nothing of before is believed", async () => {
    const events = watched();
    const prompt = words(200);
    await events.call("completions", { prompt, max_tokens: 1 }, "org_1");
    await events.settle();
    const { epoch } = events.seen.at(-1)!;
    await server!.stop();
    server = await small();
    const { matched, usage } = await events.call("completions", { prompt, max_tokens: 1 }, "org_1");
    expect([matched, usage.cachedTokens]).toEqual([0, 0]);
    expect(events.seen.at(-1)!.epoch).not.toBe(epoch);
    const again = await engine.probe();
    expect(again.epoch).not.toBe(facts.epoch);
    expect(again.capabilities.kvEvents).toBe(true);
    const second = await events.call("completions", { prompt, max_tokens: 1 }, "org_1");
    expect(second.usage.cachedTokens).toBe(second.matched);
    expect(second.matched).toBeGreaterThan(150);
  }, 600_000);
});
