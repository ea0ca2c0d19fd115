// The effects ledger against a scripted tool that dies, is silent or remembers, in a real database.
import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../store/index.ts";
import { testDatabase } from "../store/testing.ts";
import { attestedEffects } from "./attestations.ts";
import { effectMove, Effects, type EffectOwner } from "./effects.ts";
import { RunBusyError, StepError } from "./errors.ts";
import { makeTenant, type Tenant } from "./testing/tenant.ts";
import { pinnedTool } from "./testing/states.ts";
import type { PinnedTool } from "./types.ts";
import { ToolNotSentError, ToolUncertainError, type ToolAnswer } from "./tools/types.ts";

test.each([
  ["planned", {}, "call"],
  ["claimed", {}, "person"],
  ["claimed", { acceptsKey: true }, "call"],
  ["claimed", { lookup: { name: "find", hash: "" } }, "ask"],
  ["claimed", { acceptsKey: true, lookup: { name: "find", hash: "" } }, "ask"],
  ["done", {}, "answer"],
  ["unknown", { acceptsKey: true }, "person"],
] as const)("%s with %o: %s", (state, tool, move) => {
  expect(effectMove(state, { acceptsKey: false, ...tool })).toBe(move);
});

let db: Awaited<ReturnType<typeof testDatabase>>;
let tenant: Tenant;
beforeAll(async () => {
  db = await testDatabase();
  tenant = await makeTenant(db);
});
afterAll(() => db[Symbol.asyncDispose]());

/** A tool whose calls do what the script says, in order; it keeps what it was asked. */
function scripted(...script: ("works" | "silent" | "works, silent" | "works, breaks" | "unreachable" | "refuses")[]) {
  const asked: { name: string; args: Record<string, unknown>; key: string | undefined }[] = [];
  const done = new Map<string, unknown>();
  const client = {
    async call(
      tool: { name: string },
      args: Record<string, unknown>,
      options: { effectKey?: string },
    ): Promise<ToolAnswer> {
      asked.push({ name: tool.name, args, key: options.effectKey });
      if (tool.name === "find") {
        const key = args["effect_key"] as string;
        return { output: done.has(key) ? { found: true, result: done.get(key) } : { found: false }, isError: false };
      }
      const what = script.shift() ?? "works";
      if (what === "unreachable") throw new ToolNotSentError("tool_unreachable", "down", { retryAfterMs: 1 });
      if (what === "works, breaks") {
        done.set(options.effectKey!, { number: done.size + 1 });
        throw new RangeError("Maximum call stack size exceeded");
      }
      if (what === "refuses") return { output: "no", isError: true };
      if (what.startsWith("works")) done.set(options.effectKey!, { number: done.size + 1 });
      if (what.endsWith("silent")) throw new ToolUncertainError("tool_unreachable", "silent", { retryAfterMs: 1 });
      return { output: done.get(options.effectKey!), isError: false };
    },
  };
  return { asked, done, effects: new Effects(db, client) };
}

async function newRun(): Promise<EffectOwner> {
  const [agent, version, run] = [newId("agt"), newId("agv"), newId("run")];
  await db.query("insert into agents (id, organisation, project, name) values ($1, $2, $3, $1)", [
    ...[agent, tenant.organisation, tenant.project],
  ]);
  await db.query("insert into agent_versions (id, agent, number, manifest_ref) values ($1, $2, 1, 'x')", [
    version,
    agent,
  ]);
  await db.query(
    `insert into runs (id, organisation, project, agent, version, input_ref, status, fence)
     values ($1, $2, $3, $4, $5, 'x', 'running', 1)`,
    [run, tenant.organisation, tenant.project, agent, version],
  );
  return { organisation: tenant.organisation, project: tenant.project, run, fence: 1n };
}

const at = { step: 2, ordinal: 0 };
const signal = new AbortController().signal;
const withLookup = pinnedTool("act", { effect: true, lookup: { name: "find", hash: "" } });
const withKey = pinnedTool("act", { effect: true, acceptsKey: true });
const withNeither = pinnedTool("act", { effect: true });
const stateOf = async (key: string) =>
  (await db.query<{ state: string; attempts: number }>("select state, attempts from effects where key = $1", [key]))
    .rows[0];

test("the key is ours: organisation, run, step, ordinal; one in the arguments is just an argument", async () => {
  const owner = await newRun();
  const { asked, effects } = scripted();
  const args = { machine: "M-1", "lineshaft/effect-key": "mine", _meta: { "lineshaft/effect-key": "mine" } };
  const { key } = await effects.perform(owner, { tool: withKey, arguments: args, decidedBy: at }, signal);
  expect(key).toBe(`${owner.organisation}:${owner.run}:2:0`);
  expect(asked[0]).toEqual({ name: "act", args, key });
});

test("an answer that was lost is found by asking; the tool is not called again", async () => {
  const owner = await newRun();
  const { asked, done, effects } = scripted("works, silent");
  const request = { tool: withLookup, arguments: { machine: "M-1" }, decidedBy: at };
  await expect(effects.perform(owner, request, signal)).rejects.toThrow("silent");
  expect(await effects.perform(owner, request, signal)).toMatchObject({ output: { number: 1 }, isError: false });
  expect(asked.map(({ name }) => name)).toEqual(["act", "find"]);
  expect(done.size).toBe(1);
});

test("a call that was lost is found missing and made again, with the same key", async () => {
  const owner = await newRun();
  const { asked, done, effects } = scripted("silent", "works");
  const request = { tool: withLookup, arguments: { machine: "M-1" }, decidedBy: at };
  await expect(effects.perform(owner, request, signal)).rejects.toThrow("silent");
  const { key } = await effects.perform(owner, request, signal);
  expect(asked.map(({ name }) => name)).toEqual(["act", "find", "act"]);
  expect(new Set(asked.filter(({ name }) => name === "act").map((call) => call.key))).toEqual(new Set([key]));
  expect(done.size).toBe(1);
  expect(await stateOf(key)).toEqual({ state: "claimed", attempts: 2 });
});

test("a tool that knows the key is called again with it", async () => {
  const owner = await newRun();
  const { asked, effects } = scripted("works, silent", "works");
  const request = { tool: withKey, arguments: { machine: "M-1" }, decidedBy: at };
  await expect(effects.perform(owner, request, signal)).rejects.toThrow("silent");
  await effects.perform(owner, request, signal);
  expect(asked.map(({ key }) => key)).toEqual([asked[0]!.key, asked[0]!.key]);
});

test("a tool with neither ends in unknown and is never called again; a person's word ends it", async () => {
  const owner = await newRun();
  const { asked, effects } = scripted("works, silent");
  const request = { tool: withNeither, arguments: { machine: "M-1" }, decidedBy: at };
  await expect(effects.perform(owner, request, signal)).rejects.toMatchObject({
    code: "effect_unknown",
    retryAfterMs: undefined,
  });
  await expect(effects.perform(owner, request, signal)).rejects.toMatchObject({ code: "effect_unknown" });
  expect(asked).toHaveLength(1);
  const key = asked[0]!.key!;
  expect(await stateOf(key)).toEqual({ state: "unknown", attempts: 1 });
  const word = { key, happened: true, result: { number: 9 }, note: "It is in the list of orders.", author: "key_a" };
  expect(await effects.resolve(owner, word)).toBe(true);
  expect(await effects.resolve(owner, { ...word, happened: false, result: null })).toBe(false);
  expect(await attestedEffects(db, owner.run)).toMatchObject([
    { effect: key, happened: true, note: word.note, author: { key: "key_a" } },
  ]);
  expect(await effects.perform(owner, request, signal)).toEqual({ key, output: { number: 9 }, isError: false });
  expect(asked).toHaveLength(1);
});

test("what was certainly not sent is as if it had never been claimed, whatever the tool offers", async () => {
  const owner = await newRun();
  const { asked, done, effects } = scripted("unreachable", "works");
  const request = { tool: withNeither, arguments: { machine: "M-1" }, decidedBy: at };
  await expect(effects.perform(owner, request, signal)).rejects.toMatchObject({ retryAfterMs: 1 });
  const { key } = await effects.perform(owner, request, signal);
  expect(await stateOf(key)).toMatchObject({ state: "claimed" });
  expect([asked.length, done.size]).toEqual([2, 1]);
});

test("only what says that it was not sent is not sent: a failure that was not foreseen is uncertain", async () => {
  const owner = await newRun();
  const { asked, effects } = scripted("works, breaks", "works, breaks");
  const request = (tool: PinnedTool, step: number) => ({ tool, arguments: {}, decidedBy: { step, ordinal: 0 } });
  await expect(effects.perform(owner, request(withNeither, 2), signal)).rejects.toMatchObject({
    code: "effect_unknown",
  });
  expect(await stateOf(asked[0]!.key!)).toEqual({ state: "unknown", attempts: 1 });
  await expect(effects.perform(owner, request(withLookup, 3), signal)).rejects.toThrow(RangeError);
  await effects.perform(owner, request(withLookup, 3), signal);
  expect(asked.map(({ name }) => name)).toEqual(["act", "act", "find"]);
});

test("a call that may have been made stays claimed when the next try is not sent, and is tried for as long as the run lives", async () => {
  const owner = await newRun();
  const { asked, effects } = scripted("works, silent", "unreachable", "works");
  const request = { tool: withKey, arguments: {}, decidedBy: at };
  for (const message of ["silent", "down"]) {
    await expect(effects.perform(owner, request, signal)).rejects.toMatchObject({ message, patient: true });
    expect(await stateOf(asked[0]!.key!)).toMatchObject({ state: "claimed" });
  }
  await effects.perform(owner, request, signal);
  expect(new Set(asked.map(({ key }) => key)).size).toBe(1);
});

test("other arguments for the same decision stop the run; nothing is called", async () => {
  const owner = await newRun();
  const { asked, effects } = scripted("silent");
  await effects
    .perform(owner, { tool: withLookup, arguments: { machine: "M-1" }, decidedBy: at }, signal)
    .catch(() => {});
  const other = { tool: withLookup, arguments: { machine: "M-2" }, decidedBy: at };
  await expect(effects.perform(owner, other, signal)).rejects.toMatchObject({
    code: "effect_mismatch",
    retryAfterMs: undefined,
  });
  expect(asked).toHaveLength(1);
});

test("an activation that was overtaken claims nothing", async () => {
  const owner = await newRun();
  const { asked, effects } = scripted();
  await db.query("update runs set fence = 2 where id = $1", [owner.run]);
  const request = { tool: withKey, arguments: { machine: "M-1" }, decidedBy: at };
  await expect(effects.perform(owner, request, signal)).rejects.toBeInstanceOf(RunBusyError);
  await db.query("update runs set status = 'stopped' where id = $1", [owner.run]);
  await expect(effects.perform({ ...owner, fence: 2n }, request, signal)).rejects.toBeInstanceOf(RunBusyError);
  expect(asked).toHaveLength(0);
});

test("two calls of one decision are two effects", async () => {
  const owner = await newRun();
  const { done, effects } = scripted();
  for (const ordinal of [0, 1, 0])
    await effects.perform(
      owner,
      { tool: withLookup, arguments: { machine: "M-1" }, decidedBy: { step: 2, ordinal } },
      signal,
    );
  expect([...done.keys()].map((key) => key.split(":").slice(2).join(":"))).toEqual(["2:0", "2:1"]);
});

test.each([
  ["the run was stopped", withLookup, new StepError("stopped", "Stopped."), "tool_unreachable", "unknown"],
  ["the process is going away", withLookup, new RunBusyError("run"), "tool_unreachable", "claimed"],
  [
    "the process is going away, and no tool can be asked",
    withNeither,
    new RunBusyError("run"),
    "effect_unknown",
    "unknown",
  ],
])("aborted in the middle, because %s", async (_why, tool, reason, code, state) => {
  const owner = await newRun();
  const stop = new AbortController();
  const client = {
    async call() {
      stop.abort(reason);
      throw new ToolUncertainError("tool_unreachable", "aborted", { retryAfterMs: 1 });
    },
  };
  const effects = new Effects(db, client);
  const request = { tool, arguments: {}, decidedBy: at };
  await expect(effects.perform(owner, request, stop.signal)).rejects.toMatchObject({ code });
  expect(await stateOf(`${owner.organisation}:${owner.run}:2:0`)).toEqual({ state, attempts: 1 });
});

test("for the evidence a system is asked what it keeps, whatever the act answered; what it does not know is asked for again", async () => {
  const owner = await newRun();
  const { done, asked, effects } = scripted();
  const { key, output } = await effects.perform(owner, { tool: withLookup, arguments: {}, decidedBy: at }, signal);
  done.set(key, { number: "as the system keeps it" });
  expect(output).not.toEqual(done.get(key));
  expect(await effects.lookUp(owner.project, key, withLookup, signal)).toEqual(done.get(key));
  expect(asked.at(-1)).toEqual({ name: "find", args: { effect_key: key }, key: undefined });
  done.delete(key);
  await expect(effects.lookUp(owner.project, key, withLookup, signal)).rejects.toMatchObject({
    code: "effect_not_found",
    retryAfterMs: expect.any(Number),
    patient: true,
  });
});
