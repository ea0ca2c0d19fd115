// What every implementation of KvEngine does. What an engine cannot do is named by the subject's `abilities`, and then the suite holds it
// to saying so: receipts that are not honoured, a refused prefill, an erasure that answers false.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { KvEngine, KvEvent, KvHint, KvPosition, RuntimeFact } from "./kv.ts";
import { EngineError, type EngineRequest } from "./types.ts";

interface KvSubject extends AsyncDisposable {
  kv: KvEngine;
  abilities: { hints: boolean; facts: boolean; prefill: boolean; erases: boolean };
  /** Makes the engine publish so many events, such as blocks stored. */
  publish(count: number): Promise<void>;
  /** Publishes one event that is lost on its way, where the transport can lose one. */
  lose?(): Promise<void>;
  /** The engine starts again with an empty cache, and publishes one event. */
  restart?(): Promise<void>;
}

const request: EngineRequest = {
  shape: "chat",
  body: {
    model: "scripted",
    messages: [{ role: "user", content: "Every wheel in the mill was driven by one shaft." }],
  },
  hints: { attempt: "att_kv_suite", cacheSalt: "prj_1", project: "prj_1", program: "run_1" },
};

const hints: KvHint[] = [
  { verb: "keep", program: "run_1" },
  { verb: "drop", program: "no_such_run" },
];

const facts: RuntimeFact[] = [
  { type: "tool_started", program: "run_1", tool: "search" },
  { type: "run_ended", program: "run_1" },
];

/** A reader of events, which takes as many as are asked for. */
function reading(kv: KvEngine, since?: KvPosition) {
  const stop = new AbortController();
  const reader = kv.watch(since, stop.signal)[Symbol.asyncIterator]();
  const take = async (enough: (events: KvEvent[]) => boolean): Promise<KvEvent[]> => {
    const taken: KvEvent[] = [];
    while (!enough(taken)) {
      const { value, done } = await reader.next();
      if (done) break;
      taken.push(value as KvEvent);
    }
    return taken;
  };
  return {
    take,
    /** Aborts, and waits for the end of the events. */
    async leave(): Promise<void> {
      stop.abort();
      for (;;) if ((await reader.next()).done) return;
    },
  };
}

const stored = (events: readonly KvEvent[]) => events.filter(({ type }) => type === "stored").length;

/** Within an epoch numbers rise by one; a new epoch begins with the number that its first event has. */
function expectNoGaps(events: readonly KvEvent[]): void {
  for (const [place, { epoch, sequence }] of events.entries()) {
    const before = events[place - 1];
    if (before?.epoch === epoch) expect(sequence).toBe(before.sequence + 1);
  }
}

export function kvSuite(name: string, make: () => Promise<KvSubject>): void {
  describe(`${name} is a KvEngine`, () => {
    let subject: KvSubject;
    beforeEach(async () => void (subject = await make()));
    afterEach(async () => subject[Symbol.asyncDispose]());

    test("events carry their epoch and are numbered without gaps; an abort ends them", async () => {
      const { take, leave } = reading(subject.kv);
      await subject.publish(3);
      const events = await take((taken) => stored(taken) >= 3);
      expectNoGaps(events);
      expect(new Set(events.map(({ epoch }) => epoch)).size).toBe(1);
      for (const { type, tier, blocks } of events)
        if (type === "stored") {
          expect(["device", "host", "disk", "remote"]).toContain(tier);
          for (const block of blocks!) expect(block).toMatch(/^[0-9a-f]{16}$/);
        }
      await leave();
    });

    test("a reader that was away goes on after the last event that it saw", async () => {
      const first = reading(subject.kv);
      await subject.publish(2);
      const { epoch, sequence } = (await first.take((taken) => stored(taken) >= 2)).at(-1)!;
      await first.leave();
      await subject.publish(1);
      const second = reading(subject.kv, { epoch, sequence: sequence + 1 });
      expect(await second.take((taken) => taken.length === 1)).toMatchObject([{ epoch, sequence: sequence + 1 }]);
      await second.leave();
    });

    test("an event that was lost on the way is told in its place, or begins a new epoch", async () => {
      if (!subject.lose) return;
      const { take, leave } = reading(subject.kv);
      await subject.publish(1);
      const events = await take((taken) => stored(taken) >= 1);
      await subject.lose();
      await subject.publish(1);
      events.push(...(await take((taken) => stored(taken) >= 2)));
      expectNoGaps(events);
      await leave();
    });

    test("a restart with an empty cache begins a new epoch", async () => {
      if (!subject.restart) return;
      const { take, leave } = reading(subject.kv);
      await subject.publish(2);
      const before = (await take((taken) => stored(taken) >= 2)).at(-1)!;
      await subject.restart();
      const [after] = await take((taken) => taken.length === 1);
      expect(after!.epoch).not.toBe(before.epoch);
      await leave();
    });

    test("every hint has one receipt, in order", async () => {
      const receipts = await subject.kv.hint(hints);
      expect(receipts.map(({ verb, program }) => ({ verb, program }))).toEqual(hints);
      if (!subject.abilities.hints) expect(receipts.every(({ honoured }) => !honoured)).toBe(true);
      for (const { honoured, reason } of receipts) if (!honoured) expect(reason).toMatch(/\w/);
      expect(await subject.kv.hint([])).toEqual([]);
    });

    test("every fact has one receipt, in order", async () => {
      const receipts = await subject.kv.tell(facts);
      expect(receipts.map(({ fact, program }) => [fact, program])).toEqual(
        facts.map(({ type, program }) => [type, program]),
      );
      if (!subject.abilities.facts) expect(receipts.every(({ honoured }) => !honoured)).toBe(true);
      expect(await subject.kv.tell([])).toEqual([]);
    });

    test("a prefill keeps a named state under a lease until it is released, or is refused", async () => {
      const prefilling = subject.kv.prefill(request);
      if (!subject.abilities.prefill) {
        await expect(prefilling).rejects.toBeInstanceOf(EngineError);
        await expect(prefilling).rejects.toMatchObject({ code: "kv_unsupported", retryable: false });
        return;
      }
      const { state, tokens, usage, leaseMs } = await prefilling;
      expect(state).toMatch(/\w/);
      expect(tokens).toBeGreaterThan(0);
      expect(leaseMs).toBeGreaterThan(0);
      expect(usage).toMatchObject({ outputTokens: 0, source: "engine" });
      await subject.kv.release(state!);
    });

    test("a prefill that is given up has no state", async () => {
      if (!subject.abilities.prefill) return;
      const { hints: of } = request;
      const givenUp = { ...request, hints: { ...of, attempt: `${of.attempt}_given_up` } };
      const given = await subject.kv.prefill(givenUp, AbortSignal.abort());
      expect(given.state).toBeUndefined();
    });

    test("the release of an unknown state does nothing", async () => {
      await expect(subject.kv.release("no-such-state")).resolves.toBeUndefined();
    });

    test("an erasure says whether there was anything by project to erase", async () => {
      expect(await subject.kv.eraseProject("prj_1")).toBe(subject.abilities.erases);
    });
  });
}
