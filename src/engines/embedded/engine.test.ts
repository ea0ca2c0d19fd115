import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { KvHint } from "../kv.ts";
import { BlockLedger, blockHashes, saltOf } from "./blocks.ts";
import type { Call, CallEnd, Verdict } from "./call.ts";
import { Engine } from "./engine.ts";
import { Facts } from "./facts.ts";
import { Hints } from "./hints.ts";
import { Kv } from "./kv.ts";
import { KvStore } from "./kvStore.ts";
import { ScriptedDevice, scriptedEnd } from "./testing/scriptedDevice.ts";

const sampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  seed: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
};
const run = (from: number, length: number) => Array.from({ length }, (_, i) => from + i);

let dir: string;
let device: ScriptedDevice;
let ledger: BlockLedger;
let kv: Kv;
let engine: Engine;
let facts: Facts;
let hints: Hints;
let attempts = 0;

async function open(
  options: {
    slots?: number;
    contextTokens?: number;
    queueLimit?: number;
    canTrim?: boolean;
    model?: (tokens: readonly number[]) => number;
    budgetBytes?: number;
  } = {},
) {
  await engine?.close();
  device = new ScriptedDevice({ slots: 2, contextTokens: 2048, ...options });
  ledger = new BlockLedger("e");
  const store = new KvStore({
    dir,
    budgetBytes: options.budgetBytes ?? 1_000_000,
    fingerprint: "m",
    contextTokens: device.contextTokens,
    bytesPerToken: 6,
    onAdded: (file) => ledger.set(file.id, "disk", file.cacheSalt, file.tokens),
    onRemoved: (file) => ledger.forget(file.id),
    log: () => {},
  });
  let clock = 0;
  kv = new Kv({ device, store, ledger, now: () => clock++, log: () => {} });
  engine = new Engine(kv, options.queueLimit ?? 16, () => clock++);
  facts = new Facts(kv);
  hints = new Hints(kv, (chore) => engine.between(chore));
}

beforeEach(async () => {
  dir = mkdtempSync(path.join(tmpdir(), "lineshaft-kv-"));
  await open();
});

afterEach(async () => {
  await engine.close();
  await kv.store.close();
  rmSync(dir, { recursive: true, force: true });
});

interface Running {
  attempt: string;
  tokens: number[];
  ended: Promise<CallEnd>;
}

function submit(
  prompt: number[],
  more: Partial<Call> & { program?: string; cacheSalt?: string; project?: string } = {},
): Running {
  const attempt = `a${attempts++}`;
  const tokens: number[] = [];
  const { program, cacheSalt = "org", project = "p1", ...call } = more;
  const { promise, resolve } = Promise.withResolvers<CallEnd>();
  engine.submit({
    attempt,
    owner: { cacheSalt, project, ...(program && { program }) },
    prompt,
    maxTokens: 8,
    sampling,
    ...call,
    onToken: (token) => {
      tokens.push(token);
      return call.onToken?.(token) ?? { type: "go" };
    },
    onEnd: resolve,
  });
  return { attempt, tokens, ended: promise };
}

const ask = async (prompt: number[], more: Parameters<typeof submit>[1] = {}) => {
  const call = submit(prompt, more);
  return { ...(await call.ended), tokens: call.tokens };
};

/** The answer of the scripted model to a prompt, without other calls. */
function alone(prompt: number[], count: number): number[] {
  const held = [...prompt];
  const said = [];
  while (said.length < count) {
    const next = 1 + ((held.length * 31 + held[held.length - 1]! * 7) % 1000);
    said.push(next);
    held.push(next);
  }
  return said;
}

/** The device, the book-keeping and the event stream must agree. */
function expectConsistent(): void {
  const wanted = new Set<string>();
  for (const slot of kv.slots) {
    expect(device.held[slot.id]).toEqual(slot.tokens);
    for (const name of blockHashes(saltOf(slot.owner?.cacheSalt ?? ""), slot.tokens)) wanted.add(name);
  }
  expect(ledger.stored("device")).toEqual(wanted);
}

describe("serving calls", () => {
  it("says what the model says, and counts what it did", async () => {
    const prompt = run(1, 300);
    const end = await ask(prompt);
    expect(end.tokens).toEqual(alone(prompt, 8));
    expect(end).toMatchObject({
      reason: "length",
      promptTokens: 300,
      outputTokens: 8,
      report: { computedTokens: 300, cachedByTier: { device: 0, disk: 0 } },
    });
    expectConsistent();
  });

  it("ends at the model's end token, which is counted and not said", async () => {
    await open({ model: (tokens) => (tokens.length >= 14 ? scriptedEnd : 5) });
    expect(await ask(run(1, 10))).toMatchObject({ reason: "stop", tokens: [5, 5, 5, 5], outputTokens: 5 });
  });

  it("ends with length in a full sequence, and never shifts it", async () => {
    await open({ contextTokens: 128 });
    const end = await ask(run(1, 100), { maxTokens: 28 });
    expect(end).toMatchObject({ reason: "length", outputTokens: 28 });
    expect(kv.slots[end.report.sequence]!.tokens).toHaveLength(127);
  });

  it("computes only what is new in the second turn", async () => {
    const prompt = run(1, 300);
    const first = await ask(prompt);
    const second = await ask([...prompt, ...first.tokens, ...run(500, 20)]);
    expect(second.report).toMatchObject({
      sequence: first.report.sequence,
      computedTokens: 21,
      cachedByTier: { device: 307, disk: 0 },
    });
    expect(second.promptTokens).toBe(328);
    expectConsistent();
  });

  it("runs as many as there are sequences, and the rest in order of arrival", async () => {
    const order: string[] = [];
    const calls = [
      submit(run(1, 200), { maxTokens: 30 }),
      submit(run(1000, 200), { maxTokens: 30 }),
      submit(run(2000, 10)),
      submit(run(3000, 10)),
    ];
    for (const [index, call] of calls.entries()) void call.ended.then(() => order.push(String(index)));
    await Promise.all(calls.map((call) => call.ended));
    expect(order.indexOf("2")).toBeLessThan(order.indexOf("3"));
    expect(Math.max(...device.batches.map((batch) => batch.size))).toBe(2);
    expectConsistent();
  });

  it("refuses when the queue is full, and serves the others", async () => {
    await open({ queueLimit: 1 });
    const calls = [submit(run(1, 900)), submit(run(2000, 900))];
    await device.reached(0);
    calls.push(submit(run(4000, 10)));
    expect(() => submit(run(5000, 10))).toThrow(/queue is full/);
    for (const call of calls) expect((await call.ended).reason).toBe("length");
  });

  it("refuses an attempt that is under way already", async () => {
    const call = submit(run(1, 100));
    expect(() => submit(run(1, 100), { attempt: call.attempt })).toThrow(/under way/);
    expect((await call.ended).reason).toBe("length");
  });

  it("keeps calls apart whatever runs beside them", async () => {
    await open({ slots: 8 });
    const prompts = Array.from({ length: 20 }, (_, i) => [...run(1, 150), ...run(1000 * i, 40 + 17 * i)]);
    const calls = prompts.map((prompt) => submit(prompt, { maxTokens: 20 }));
    for (const [i, call] of calls.entries()) {
      await call.ended;
      expect(call.tokens).toEqual(alone(prompts[i]!, 20));
    }
    expectConsistent();
  });
});

describe("interleaving", () => {
  it("lets no stream wait for more than one chunk between two tokens while another prefills", async () => {
    const stream = submit(run(1, 20), { maxTokens: 60 });
    await device.reached(3);
    const long = submit(run(5000, 1500), { maxTokens: 2 });
    await Promise.all([stream.ended, long.ended]);
    const slot = (await stream.ended).report.sequence;
    const shared = device.batches.filter((batch) => batch.size > 1);
    expect(shared.length).toBeGreaterThan(10);
    for (const batch of shared) {
      expect(batch.get(slot)).toBe(1);
      expect([...batch].filter(([id]) => id !== slot).every(([, tokens]) => tokens <= 64)).toBe(true);
    }
  });

  it("serves a short prompt beside a long one at once", async () => {
    const long = submit(run(5000, 2000), { maxTokens: 2 });
    const short = submit(run(1, 30), { maxTokens: 2 });
    await short.ended;
    expect(engine.running).toBe(1);
    expect((await long.ended).reason).toBe("length");
  });
});

describe("stopping", () => {
  it("within one token of decode", async () => {
    const call: Running = submit(run(1, 20), {
      maxTokens: 500,
      onToken: () => {
        if (call.tokens.length === 5) engine.abort(call.attempt);
        return { type: "go" };
      },
    });
    expect(await call.ended).toMatchObject({ reason: "abort", outputTokens: 5, promptTokens: 20 });
    expect(engine.totals.aborts).toBe(1);
  });

  it("within one chunk of prefill, billing what was computed", async () => {
    const call = submit(run(1, 2000));
    device.beforeStep = (batch) => {
      if (batch === 2) engine.abort(call.attempt);
    };
    expect(await call.ended).toMatchObject({
      reason: "abort",
      outputTokens: 0,
      promptTokens: 768,
      report: { computedTokens: 768 },
    });
    expectConsistent();
    // The tokens that it had computed serve the next call.
    expect((await ask(run(1, 2000))).report.cachedByTier.device).toBe(768);
  });

  it("in the queue, at no cost", async () => {
    const running = [submit(run(1, 900)), submit(run(2000, 900))];
    const waiting = submit(run(4000, 900));
    await device.reached(device.batches.length);
    expect(engine.abort(waiting.attempt)).toBe(true);
    expect(await waiting.ended).toMatchObject({
      reason: "abort",
      promptTokens: 0,
      outputTokens: 0,
      report: { sequence: -1 },
    });
    expect(engine.abort(waiting.attempt)).toBe(false);
    await Promise.all(running.map((call) => call.ended));
  });

  it("when the listener says so, or throws", async () => {
    expect(await ask(run(1, 9), { onToken: (): Verdict => ({ type: "stop" }) })).toMatchObject({
      reason: "stop",
      outputTokens: 1,
    });
    const failed = await ask(run(1, 9), {
      onToken: () => {
        throw new Error("broken");
      },
    });
    expect(failed).toMatchObject({ reason: "error" });
    expectConsistent();
  });

  it("of everything at once", async () => {
    const calls = [submit(run(1, 900)), submit(run(2000, 900)), submit(run(4000, 10))];
    await engine.close();
    for (const call of calls) expect((await call.ended).reason).toBe("abort");
  });
});

describe("rewinding to a grammar", () => {
  it("goes back to a token of the output, adds others, and goes on behind them", async () => {
    const prompt = run(1, 100);
    let rewound = false;
    const call = submit(prompt, {
      maxTokens: 6,
      onToken: () => {
        if (rewound || call.tokens.length < 4) return { type: "go" };
        rewound = true;
        return { type: "rewind", keep: 2, tokens: [70, 71], grammar: "root ::= [a-z]" };
      },
    });
    const end = await call.ended;
    const expected = [...prompt, ...call.tokens.slice(0, 2), 70, 71, ...call.tokens.slice(4, 5)];
    expect(kv.slots[end.report.sequence]!.tokens).toEqual(expected);
    expect(call.tokens[4]).toBe(alone(expected.slice(0, 104), 1)[0]);
    expectConsistent();
  });
});

describe("tiers", () => {
  const start = run(1, 500);
  const talk = (id: number) => [...start.slice(0, 0), ...run(10_000 * id, 500)];

  it("parks a conversation whose sequence is needed, and brings it back from disk", async () => {
    const first = await ask(talk(1));
    await ask(talk(2));
    await ask(talk(3));
    expect(kv.totals.parks).toBe(1);
    const again = await ask([...talk(1), ...first.tokens, 5, 6]);
    expect(again.report).toMatchObject({ computedTokens: 3, cachedByTier: { device: 0, disk: 507 } });
    expect(again.tokens).toEqual(alone([...talk(1), ...first.tokens, 5, 6], 8));
    expect(kv.totals.restores).toBe(1);
    expectConsistent();
  });

  it("serves from the device when files cannot be written, and goes on", async () => {
    await ask(talk(1));
    await ask(talk(2));
    device.failSaves = true;
    expect(await ask(talk(3))).toMatchObject({ reason: "length" });
    expect(await ask([...talk(3), ...run(7, 100)])).toMatchObject({ reason: "length" });
    expectConsistent();
  });

  it("computes anew what a damaged file held", async () => {
    const first = await ask(talk(1));
    await ask(talk(2));
    await ask(talk(3));
    const load = device.load.bind(device);
    device.load = async (slot) => {
      device.held[slot] = [];
      throw new Error("damaged");
    };
    const again = await ask([...talk(1), ...first.tokens, 5]);
    device.load = load;
    expect(again).toMatchObject({
      reason: "length",
      promptTokens: 509,
      report: { cachedByTier: { device: 0, disk: 0 }, computedTokens: 509 },
    });
    expectConsistent();
  });

  it("forks a shared prefix, keeps it as a file, and uses that for the third", async () => {
    await open({ slots: 4 });
    const with_ = (id: number) => [...start, ...run(10_000 * id, 100)];
    const first = await ask(with_(1));
    const second = await ask(with_(2));
    expect(second.report).toMatchObject({ cachedByTier: { device: 448, disk: 0 }, computedTokens: 152 });
    const shared = kv.store.candidates(blockHashes(saltOf("org"), start)).filter((file) => file.shared);
    expect(shared.map((file) => file.tokens.length)).toEqual([448]);
    const third = await ask(with_(3));
    expect(third.report.computedTokens).toBeLessThanOrEqual(152);
    expect(third.tokens).toEqual(alone(with_(3), 8));
    // The first conversation is still in its sequence.
    expect((await ask([...with_(1), ...first.tokens, 9])).report.cachedByTier.device).toBe(607);
    expectConsistent();
  });

  it("computes a prefix once for calls that come together", async () => {
    await open({ slots: 4 });
    const calls = [1, 2, 3, 4].map((id) => submit([...run(1, 1024), ...run(10_000 * id, 50)]));
    const ends = await Promise.all(calls.map((call) => call.ended));
    const computed = ends.reduce((sum, end) => sum + end.report.computedTokens, 0);
    expect(computed).toBeLessThan(1024 + 4 * 50 + 4 * 64);
    for (const [i, call] of calls.entries())
      expect(call.tokens).toEqual(alone([...run(1, 1024), ...run(10_000 * (i + 1), 50)], 8));
    expectConsistent();
  });

  it("never shares between cache salts", async () => {
    const prompt = run(1, 500);
    await ask(prompt, { cacheSalt: "a" });
    const other = await ask(prompt, { cacheSalt: "b" });
    expect(other.report).toMatchObject({ computedTokens: 500, cachedByTier: { device: 0, disk: 0 } });
    expect((await ask(prompt, { cacheSalt: "a" })).report.cachedByTier.device).toBe(499);
    expectConsistent();
  });

  it("serves models whose state cannot be cut", async () => {
    await open({ canTrim: false });
    const first = await ask(talk(1));
    expect((await ask([...talk(1), ...first.tokens, 5])).report.cachedByTier.device).toBe(507);
    expect((await ask([...talk(1).slice(0, 300), 5])).report.computedTokens).toBe(301);
    expectConsistent();
  });

  it("erases a project's sequences and files, what runs for it when it ends", async () => {
    await ask(talk(1), { project: "p1" });
    await ask(talk(2), { project: "p1" });
    await ask(talk(3), { project: "p2" });
    const running = submit(talk(4), { project: "p1", maxTokens: 20 });
    await device.reached(device.batches.length);
    await engine.between(() => kv.eraseProject("p1"));
    // A state that is erased when its call ends must not be copied.
    const heir = submit([...talk(4), 5], { project: "p2" });
    expect((await heir.ended).report).toMatchObject({ computedTokens: 501 });
    await running.ended;
    expect(JSON.stringify(ledger.read())).not.toContain(`[${talk(1).slice(0, 3).join(",")}`);
    const left = kv.slots.filter((slot) => slot.tokens.length > 0).map((slot) => slot.owner?.project);
    expect(left).not.toContain("p1");
    expect(kv.store.candidates(blockHashes(saltOf("org"), talk(1)))).toEqual([]);
    expectConsistent();
  });
});

describe("facts of the runtime", () => {
  const tell = (fact: Parameters<Facts["apply"]>[0]) => engine.between(() => facts.apply(fact));
  const prompt = run(1, 300);

  it("a run that has ended leaves nothing, and those of other runs stay", async () => {
    await ask(prompt, { program: "r1" });
    await ask(run(2000, 300), { program: "r2" });
    await hints.carryOut({ verb: "demote", program: "r1" });
    expect(await tell({ type: "run_ended", program: "r1" })).toMatchObject({ honoured: true, action: "dropped" });
    expect(kv.slots.filter((slot) => slot.tokens.length > 0).map(({ owner }) => owner?.program)).toEqual(["r2"]);
    expect(kv.store.usage().files).toBe(0);
    expect(await tell({ type: "run_ended", program: "r1" })).toMatchObject({ honoured: false, action: "none" });
    expectConsistent();
  });

  it("a run that ends while a call of it runs goes when the call does", async () => {
    const running = submit(prompt, { program: "r1", maxTokens: 40 });
    await device.reached(device.batches.length);
    expect(await tell({ type: "run_ended", program: "r1" })).toMatchObject({ action: "dropped" });
    await running.ended;
    expect(kv.slots.every((slot) => slot.tokens.length === 0)).toBe(true);
  });

  it("a tool's start and end are for the scheduler: nothing is done about them here", async () => {
    await ask(prompt, { program: "r1" });
    expect(await tell({ type: "tool_started", program: "r1", tool: "t", kind: "slow" })).toMatchObject({
      honoured: false,
      action: "none",
    });
    expect(kv.store.usage().files).toBe(0);
  });
});

describe("hints about KV", () => {
  const hint = (verb: KvHint["verb"], program: string) => hints.carryOut({ verb, program });
  const prompt = run(1, 300);

  it("keep makes it the last to go, demote saves it and makes it the first", async () => {
    await ask(prompt, { program: "r1" });
    await ask(run(2000, 300), { program: "r2" });
    expect(await hint("keep", "r1")).toEqual({ verb: "keep", program: "r1", honoured: true, tokens: 307 });
    await ask(run(4000, 300), { program: "r3" });
    expect(kv.idleOf("r1")).toHaveLength(1);
    expect(await hint("demote", "r1")).toMatchObject({ honoured: true, tokens: 307 });
    expect(kv.store.ofProgram("r1")).toHaveLength(1);
    await ask(run(6000, 300), { program: "r4" });
    expect(kv.idleOf("r1")).toHaveLength(0);
    expect(kv.idleOf("r3")).toHaveLength(1);
    expect(await hint("demote", "r1")).toMatchObject({ honoured: true, reason: "it lay on disk already" });
    expect(await hint("keep", "r1")).toMatchObject({ honoured: false, tokens: 0 });
    expectConsistent();
  });

  it("prefetch brings it back, unless every sequence is wanted more", async () => {
    await ask(prompt, { program: "r1" });
    await hint("demote", "r1");
    await ask(run(2000, 300), { program: "r2" });
    await ask(run(4000, 300), { program: "r3" });
    for (const program of ["r2", "r3"]) await hint("keep", program);
    expect(await hint("prefetch", "r1")).toMatchObject({ honoured: false, tokens: 0 });
    for (const slot of kv.idleOf("r2")) slot.outlook = undefined;
    // The state of a program without a hint is saved before it is displaced, as for a call.
    device.failSaves = true;
    expect(await hint("prefetch", "r1")).toMatchObject({
      honoured: false,
      reason: expect.stringContaining("displace"),
    });
    device.failSaves = false;
    expect(await hint("prefetch", "r1")).toMatchObject({ honoured: true, tokens: 307 });
    expect(kv.store.ofProgram("r2")).toHaveLength(1);
    expect(await hint("prefetch", "r1")).toMatchObject({ honoured: true, reason: "it is on the device" });
    expect(kv.idleOf("r1")[0]!.outlook).toBe("soon");
    const again = await ask([...prompt, ...alone(prompt, 8), 9], { program: "r1" });
    expect(again.report).toMatchObject({ cachedByTier: { device: 307, disk: 0 } });
    expectConsistent();
  });

  it("drop gives up the device's room, and leaves the files to others", async () => {
    await ask(prompt, { program: "r1" });
    await hint("demote", "r1");
    expect(await hint("drop", "r1")).toMatchObject({ honoured: true, tokens: 307 });
    expect(kv.slots.every((slot) => slot.tokens.length === 0)).toBe(true);
    expect(kv.store.ofProgram("r1")).toHaveLength(1);
    expect(await hint("drop", "r1")).toMatchObject({ honoured: false });
    expectConsistent();
  });

  it("share saves without a change of outlook, of a call under way what it has so far", async () => {
    await ask(prompt, { program: "r1" });
    await hint("keep", "r1");
    expect(await hint("share", "r1")).toMatchObject({ honoured: true, tokens: 307 });
    expect(kv.idleOf("r1")[0]!.outlook).toBe("soon");

    // Each hint is carried out after a batch, which is released here.
    let go = () => {};
    let stepping = Promise.withResolvers<void>();
    device.beforeStep = () => {
      stepping.resolve();
      return new Promise<void>((resolve) => (go = resolve));
    };
    const during = async (verb: KvHint["verb"]) => {
      await stepping.promise;
      stepping = Promise.withResolvers<void>();
      const receipt = hint(verb, "r2");
      go();
      return receipt;
    };
    const running = submit(run(2000, 300), { program: "r2", maxTokens: 40 });
    for (const verb of ["keep", "demote", "prefetch", "drop"] as const)
      expect(await during(verb)).toMatchObject({ honoured: false, reason: "a call of this program is under way" });
    const shared = await during("share");
    expect(shared).toMatchObject({ honoured: true });
    expect(kv.store.ofProgram("r2")[0]!.tokens).toEqual(
      [...run(2000, 300), ...alone(run(2000, 300), 40)].slice(0, shared.tokens),
    );
    device.beforeStep = () => {};
    go();
    await running.ended;
    expect(running.tokens).toEqual(alone(run(2000, 300), 40));
    expectConsistent();
  });

  it("says so when there is nothing to do, or no file can be had", async () => {
    for (const verb of ["keep", "demote", "prefetch", "drop", "share"] as const)
      expect(await hint(verb, "who")).toEqual({
        verb,
        program: "who",
        honoured: false,
        tokens: 0,
        reason: "nothing of this program is kept here",
      });
    await ask(run(1, 20), { program: "r1" });
    expect(await hint("demote", "r1")).toMatchObject({ honoured: false, tokens: 0 });
    device.failSaves = true;
    await ask(prompt, { program: "r2" });
    expect(await hint("share", "r2")).toMatchObject({ honoured: false, tokens: 0 });
  });
});

describe("prefill for another worker", () => {
  const prompt = run(1, 300);
  const lease = async (more: Parameters<typeof submit>[1] = {}) => ask(prompt, { prefillOnly: true, ...more });
  const statesOf = () => kv.store.candidates(blockHashes(saltOf("org"), prompt)).map((file) => file.tokens.length);

  it("computes all but the last token, says nothing, and leaves a state that another call goes on from", async () => {
    const end = await lease();
    expect(end).toMatchObject({ reason: "stop", tokens: [], outputTokens: 0, promptTokens: 299 });
    expect(end.report).toMatchObject({ computedTokens: 299, decodeMs: 0 });
    expect(statesOf()).toEqual([299]);
    await engine.between(async () => {
      for (const slot of kv.slots) await kv.clear(slot);
    });
    let pulled: number | undefined;
    const transfer = { state: end.lease!, tokens: 299 };
    const answer = await ask(prompt, { transfer, onPulled: (tokens) => (pulled = tokens) });
    expect(answer.tokens).toEqual(alone(prompt, 8));
    expect(answer.report).toMatchObject({ computedTokens: 1, cachedByTier: { device: 0, disk: 299 } });
    expect(pulled).toBe(299);
    expectConsistent();
  });

  it("goes on from what the device holds, and its sequence is cache for the next", async () => {
    await lease();
    const more = await ask([...prompt, ...run(900, 100)], { prefillOnly: true });
    expect(more.report).toMatchObject({ computedTokens: 99 + 1, cachedByTier: { device: 299 } });
    const same = await ask([...prompt, ...run(900, 100)], { prefillOnly: true });
    expect(same.report).toMatchObject({ computedTokens: 0 });
    expect(same.lease).toBeDefined();
    expect(same.lease).not.toBe(more.lease);
    expectConsistent();
  });

  it("serves prompts too short for any other file, and removes those with their lease", async () => {
    const end = await ask(run(1, 5), { prefillOnly: true });
    await engine.between(() => kv.clear(kv.slots[0]!));
    const transfer = { state: end.lease!, tokens: 4 };
    expect((await ask(run(1, 5), { transfer })).report.cachedByTier.disk).toBe(4);
    await kv.store.release(end.lease!);
    expect(kv.store.usage().files).toBe(0);
    expect((await ask([7], { prefillOnly: true })).lease).toBeUndefined();
  });

  it("a model whose state cannot be cut is served too", async () => {
    await open({ canTrim: false });
    const end = await lease();
    await engine.between(() => kv.clear(kv.slots.find((slot) => slot.tokens.length > 0)!));
    const answer = await ask(prompt, { transfer: { state: end.lease!, tokens: 299 } });
    expect(answer.tokens).toEqual(alone(prompt, 8));
    expect(answer.report.computedTokens).toBe(1);
  });

  it("stops within a chunk, and tells what was computed", async () => {
    const running = submit(prompt, { prefillOnly: true });
    await device.reached(device.batches.length);
    engine.abort(running.attempt);
    const end = await running.ended;
    expect(end.reason).toBe("abort");
    expect(end.lease).toBeUndefined();
    expect(end.report.computedTokens).toBeLessThan(299);
    expect(end.promptTokens).toBe(end.report.computedTokens);
    expect(kv.store.usage().files).toBe(0);
  });

  it("is stopped by a word that came before it", async () => {
    expect(engine.abort(`a${attempts}`)).toBe(false);
    expect((await lease()).reason).toBe("abort");
  });

  it("that has no room on disk says so by having no state", async () => {
    await open({ budgetBytes: 600 });
    expect((await lease()).reason).toBe("stop");
    expect((await ask(run(7000, 200), { prefillOnly: true })).lease).toBeUndefined();
  });

  it("lost is lost before the first token, also while others wait for a sequence", async () => {
    const end = await lease();
    await engine.between(async () => {
      for (const slot of kv.slots) await kv.clear(slot);
      await kv.store.eraseProject("p1");
    });
    const busy = [submit(run(3000, 100), { maxTokens: 60 }), submit(run(5000, 100), { maxTokens: 60 })];
    const lost = { reason: "error", error: expect.objectContaining({ code: "kv_lost" }), outputTokens: 0 };
    const before = device.batches.length;
    for (const transfer of [
      { state: end.lease!, tokens: 299 },
      { state: "../../etc/passwd", tokens: 1 },
    ])
      expect(await ask(prompt, { transfer })).toMatchObject(lost);
    expect(device.batches.length - before).toBeLessThan(20);
    for (const call of busy) await call.ended;
  });

  it("of another cacheSalt, of another prompt, or shorter than promised is lost", async () => {
    const end = await lease();
    const lost = { error: expect.objectContaining({ code: "kv_lost" }) };
    const state = end.lease!;
    expect(await ask(prompt, { cacheSalt: "other", transfer: { state, tokens: 299 } })).toMatchObject(lost);
    expect(await ask([...run(1, 200), 7, 7], { transfer: { state, tokens: 201 } })).toMatchObject(lost);
    expect(await ask([...prompt, 1, 2, 3], { transfer: { state, tokens: 302 } })).toMatchObject(lost);
    expect((await ask([...prompt, 1, 2, 3], { transfer: { state, tokens: 256 } })).report.computedTokens).toBe(4);
  });

  it("that is damaged is lost, and what the call displaced is not", async () => {
    const end = await lease();
    await kv.store.settled();
    await engine.between(async () => {
      for (const slot of kv.slots) await kv.clear(slot);
    });
    const [name] = readdirSync(dir).filter((name) => name.endsWith(".state"));
    writeFileSync(path.join(dir, name!), "[1,2]");
    expect(await ask(prompt, { transfer: { state: end.lease!, tokens: 299 } })).toMatchObject({
      error: expect.objectContaining({ code: "kv_lost" }),
    });
    expectConsistent();
  });

  it("keeps its state while the budget is full, and no longer than its lease", async () => {
    await open({ budgetBytes: 2_000 });
    const end = await lease();
    await ask(run(3000, 300), { program: "r1" });
    expect(await hints.carryOut({ verb: "demote", program: "r1" })).toMatchObject({ honoured: false });
    expect(statesOf()).toEqual([299]);
    await kv.store.release(end.lease!);
    expect(await hints.carryOut({ verb: "demote", program: "r1" })).toMatchObject({ honoured: true });
    expect(statesOf()).toEqual([]);
  });
});
