import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type FileView, type PlanInput, type SequenceView, commonPrefix, plan } from "./sequences.ts";

const run = (from: number, length: number) => Array.from({ length }, (_, i) => from + i);
/** A conversation: a start of its own kind, then what is its own. */
const talk = (start: number, own: number, id: number) => [...run(1, start), ...run(10_000 * id, own)];

const free = (id: number): SequenceView => ({
  id,
  state: "free",
  cacheSalt: "",
  tokens: [],
  saved: false,
  lastUsed: 0,
});
const idle = (id: number, tokens: number[], more: Partial<SequenceView> = {}): SequenceView => ({
  ...free(id),
  state: "idle",
  cacheSalt: "org",
  tokens,
  lastUsed: id + 1,
  ...more,
});
const file = (id: string, tokens: number[], more: Partial<FileView> = {}): FileView => ({
  id,
  cacheSalt: "org",
  tokens,
  shared: false,
  ...more,
});
const ask = (prompt: number[], sequences: SequenceView[], more: Partial<PlanInput> = {}) =>
  plan({ cacheSalt: "org", prompt, sequences, files: [], fileTokensMax: 100_000, canTrim: true, ...more });

describe("which sequence serves a call", () => {
  const mine = talk(1000, 300, 1);

  it("has none while all are running", () => {
    expect(ask(mine, [idle(0, mine, { state: "running" })])).toBeUndefined();
  });

  it("continues its own conversation where it lies, and computes only what is new", () => {
    const chosen = ask([...mine, 7, 8, 9], [free(0), idle(1, mine), idle(2, talk(1000, 200, 2))]);
    expect(chosen).toMatchObject({
      type: "serve",
      slot: 1,
      source: { type: "self" },
      keep: 1300,
      park: false,
      destroyed: 0,
    });
  });

  it("computes the last token anew when the whole prompt is there", () => {
    expect(ask(mine, [idle(0, mine)])).toMatchObject({ keep: 1299 });
  });

  it("takes a free sequence for something new", () => {
    expect(ask(run(50_000, 80), [idle(0, mine), free(1)])).toMatchObject({
      slot: 1,
      source: { type: "nothing" },
      keep: 0,
      park: false,
    });
  });

  it("parks the least recently used when none is free", () => {
    const others = [idle(0, talk(0, 500, 3), { lastUsed: 9 }), idle(1, talk(0, 700, 4), { lastUsed: 2 })];
    expect(ask(run(50_000, 80), others)).toMatchObject({
      slot: 1,
      source: { type: "nothing" },
      park: true,
      destroyed: 0,
    });
  });

  it("takes first what is away for long, last what is soon back, and parks no state twice", () => {
    const others = [
      idle(0, talk(0, 500, 3), { lastUsed: 1, outlook: "soon" }),
      idle(1, talk(0, 500, 4), { lastUsed: 5 }),
      idle(2, talk(0, 500, 5), { lastUsed: 9, outlook: "away", saved: true }),
    ];
    expect(ask(run(50_000, 80), others)).toMatchObject({ slot: 2, park: false, destroyed: 0 });
    expect(ask(run(50_000, 80), others.slice(0, 2))).toMatchObject({ slot: 1, park: true });
  });

  it("copies a long prefix out of another's conversation, whose tail is still wanted", () => {
    const chosen = ask(talk(1000, 50, 2), [idle(0, mine), free(1)]);
    expect(chosen).toMatchObject({ slot: 1, source: { type: "fork", from: 0 }, keep: 1000, park: false });
  });

  it("copies out of a running one too", () => {
    expect(ask(talk(1000, 50, 2), [idle(0, mine, { state: "running" }), free(1)])).toMatchObject({
      source: { type: "fork", from: 0 },
    });
  });

  it("takes over another's conversation when there is no other place, parked first", () => {
    expect(ask(talk(1000, 50, 2), [idle(0, mine)])).toMatchObject({
      slot: 0,
      source: { type: "self" },
      keep: 1000,
      park: true,
    });
  });

  it("gives up less than a block of what the same program's newer prompt supersedes", () => {
    const newer = [...mine.slice(0, 1270), 5, 5, 5];
    expect(ask(newer, [idle(0, mine, { program: "p" }), free(1)], { program: "p" })).toMatchObject({
      slot: 0,
      source: { type: "self" },
      keep: 1270,
      park: false,
      destroyed: 0,
    });
    // A sequence of another program would be copied.
    expect(ask(newer, [idle(0, mine, { program: "q" }), free(1)], { program: "p" })).toMatchObject({
      source: { type: "fork" },
    });
  });

  it("loads a parked conversation into a free sequence", () => {
    const chosen = ask([...mine, 7], [free(0), idle(1, run(90_000, 900))], { files: [file("f", mine)] });
    expect(chosen).toMatchObject({ slot: 0, source: { type: "file", file: "f" }, keep: 1300 });
  });

  it("prefers the device to the disk", () => {
    expect(ask([...mine, 7], [free(0), idle(1, mine)], { files: [file("f", mine)] })).toMatchObject({
      slot: 1,
      source: { type: "self" },
    });
  });

  it("loads a later state of a conversation over the earlier one that it contains", () => {
    const later = file("f", [...mine, ...run(70_000, 400)]);
    const earlier = idle(1, mine, { program: "p" });
    const prompt = [...later.tokens, 7];
    const into = (sequences: SequenceView[]) => ask(prompt, sequences, { program: "p", files: [later] });
    expect(into([free(0), earlier])).toMatchObject({ slot: 1, source: { type: "file" }, keep: 1700, park: false });
    // Not over what the call goes on from only in part,
    const branch = ask([...mine.slice(0, 1100), 7], [free(0), earlier], { program: "p", files: [file("f", mine)] });
    expect(branch).toMatchObject({ slot: 0, source: { type: "file" }, keep: 1100 });
    // what goes on differently, what another program has, or what is running.
    for (const other of [
      idle(1, [...mine, 5, 5], { program: "p" }),
      idle(1, mine, { program: "q" }),
      idle(1, mine, { program: "p", state: "running" }),
    ])
      expect(into([free(0), other])).toMatchObject({ slot: 0, source: { type: "file" } });
  });

  it("uses a file that holds more than the common prefix", () => {
    const chosen = ask(talk(1000, 40, 2), [free(0)], { files: [file("f", mine)] });
    expect(chosen).toMatchObject({ source: { type: "file", file: "f" }, keep: 1000 });
  });

  it("sees nothing of another cacheSalt", () => {
    const chosen = ask([...mine, 7], [free(0), idle(1, mine, { cacheSalt: "other" })], {
      files: [file("f", mine, { cacheSalt: "other" })],
    });
    expect(chosen).toMatchObject({ slot: 0, source: { type: "nothing" }, keep: 0, share: 0 });
  });

  it("keeps only whole states of models that cannot be cut", () => {
    const some = [idle(0, mine), free(1)];
    expect(ask([...mine, 7], some, { canTrim: false })).toMatchObject({ slot: 0, keep: 1300 });
    expect(ask(talk(1000, 50, 2), some, { canTrim: false })).toMatchObject({ source: { type: "nothing" } });
  });
});

describe("waiting for a prefix that another computes", () => {
  const prompt = talk(1000, 50, 2);
  const prefilling = idle(0, run(1, 128), { state: "running", prefilling: talk(1000, 300, 1) });

  it("waits until the other holds it", () => {
    expect(ask(prompt, [prefilling, free(1)])).toEqual({ type: "wait", on: 0, until: 1000 });
  });

  it("copies it then", () => {
    const done = { ...prefilling, tokens: run(1, 1000) };
    expect(ask(prompt, [done, free(1)])).toMatchObject({
      type: "serve",
      slot: 1,
      source: { type: "fork", from: 0 },
      keep: 1000,
    });
  });

  it("does not wait for little, nor for what it has already", () => {
    expect(
      ask(talk(100, 900, 2), [{ ...prefilling, prefilling: talk(100, 900, 1), tokens: run(1, 64) }, free(1)]),
    ).toMatchObject({ type: "serve" });
    expect(ask(prompt, [prefilling, idle(1, prompt.slice(0, 1010))])).toMatchObject({ type: "serve", slot: 1 });
  });
});

describe("shared prefixes", () => {
  const mine = talk(1000, 300, 1);

  it("are kept at the second continuation, cut at a block border", () => {
    expect(ask(talk(1000, 50, 2), [idle(0, mine), free(1)])).toMatchObject({ share: 960 });
  });

  it("are seen in parked conversations too", () => {
    expect(ask(talk(1000, 50, 2), [free(0)], { files: [file("f", mine)] })).toMatchObject({ share: 960 });
  });

  it("are kept once, and not again for a few tokens more", () => {
    const kept = file("s", mine.slice(0, 960), { shared: true });
    expect(ask(talk(1000, 50, 3), [free(0)], { files: [kept, file("f", mine)] })).toMatchObject({ share: 0 });
    const longer = [...run(1, 1000), ...run(77, 70), 3];
    expect(
      ask(longer, [idle(0, [...run(1, 1000), ...run(77, 70), ...run(9, 90)]), free(1)], { files: [kept] }),
    ).toMatchObject({ share: 0 });
  });

  it("are not what a conversation shares with its own next turn, nor with a short remainder of another", () => {
    expect(ask([...mine, 7, 8], [idle(0, mine), free(1)])).toMatchObject({ share: 0 });
    expect(ask(talk(100, 50, 2), [idle(0, talk(100, 300, 1)), free(1)])).toMatchObject({ share: 0 });
  });
});

describe("whatever the state", () => {
  const tokens = fc
    .tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 4 }))
    .map(([start, own, id]) => talk(start, own, id));
  const sequence = fc.record({
    state: fc.constantFrom("free" as const, "idle" as const, "running" as const),
    cacheSalt: fc.constantFrom("org", "other"),
    tokens,
    saved: fc.boolean(),
    lastUsed: fc.nat(20),
  });
  const world = fc.record({
    prompt: tokens,
    sequences: fc.array(sequence, { minLength: 1, maxLength: 8 }),
    files: fc.array(fc.record({ cacheSalt: fc.constantFrom("org", "other"), tokens }), { maxLength: 4 }),
  });

  const views = (
    sequences: {
      state: SequenceView["state"];
      cacheSalt: string;
      tokens: number[];
      saved: boolean;
      lastUsed: number;
    }[],
  ) => sequences.map((one, id): SequenceView => (one.state === "free" ? free(id) : idle(id, one.tokens, one)));

  it("the source really holds what is kept, of the same cacheSalt, and at least one token is computed", () => {
    fc.assert(
      fc.property(world, ({ prompt, sequences, files }) => {
        const all = views(sequences);
        const named = files.map((one, index) => file(`f${index}`, one.tokens, one));
        const chosen = ask(prompt, all, { files: named });
        if (!chosen) expect(all.every((one) => one.state === "running")).toBe(true);
        if (chosen?.type !== "serve") return;
        expect(all[chosen.slot]!.state).not.toBe("running");
        expect(chosen.keep).toBeLessThan(prompt.length);
        const { source } = chosen;
        const held =
          source.type === "self"
            ? all[chosen.slot]!
            : source.type === "fork"
              ? all[source.from]!
              : source.type === "file"
                ? named.find((one) => one.id === source.file)!
                : undefined;
        expect(held?.cacheSalt ?? "org").toBe("org");
        expect(commonPrefix(held?.tokens ?? [], prompt)).toBeGreaterThanOrEqual(chosen.keep);
      }),
    );
  });

  it("no block of another conversation is lost while it could be parked", () => {
    fc.assert(
      fc.property(world, ({ prompt, sequences, files }) => {
        const all = views(sequences);
        const chosen = ask(prompt, all, {
          files: files.map((one, index) => file(`f${index}`, one.tokens, one)),
          fileTokensMax: 300,
        });
        if (chosen?.type !== "serve") return;
        const victim = all[chosen.slot]!;
        const kept = chosen.source.type === "self" ? chosen.keep : 0;
        const lost = victim.state === "free" ? 0 : victim.tokens.length - kept;
        const fits = victim.tokens.length >= 64 && victim.tokens.length <= 300;
        if (lost >= 64 && fits && !victim.saved) expect(chosen.park).toBe(true);
        if (chosen.park) expect(fits).toBe(true);
      }),
    );
  });

  it("the plan is never dearer than an empty sequence", () => {
    fc.assert(
      fc.property(world, ({ prompt, sequences }) => {
        const all = views(sequences);
        const chosen = ask(prompt, all);
        if (chosen?.type !== "serve" || !all.some((one) => one.state === "free")) return;
        expect(prompt.length - chosen.keep + chosen.destroyed).toBeLessThanOrEqual(prompt.length);
      }),
    );
  });
});
