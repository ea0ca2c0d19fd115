import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { blockHashes, saltOf } from "./blocks.ts";
import type { KvIndex } from "./kvIndex.ts";
import { KvStore, type KvStoreOptions } from "./kvStore.ts";
import { lend, lent } from "./lending.ts";
import { leaseMs } from "./limits.ts";

let dir: string;
let stores: KvStore[] = [];
let removed: string[] = [];

function openStore(more: Partial<KvStoreOptions> = {}): KvStore {
  const store = new KvStore({
    dir,
    budgetBytes: 10_000,
    fingerprint: "model-1",
    contextTokens: 4096,
    bytesPerToken: 10,
    onAdded: () => {},
    onRemoved: (file) => void removed.push(file.id),
    log: () => {},
    ...more,
  });
  stores.push(store);
  return store;
}

const run = (from: number, length: number) => Array.from({ length }, (_, i) => from + i);
const owner = { cacheSalt: "org", project: "p1", program: "run-1" };
/** Stands for the library: ten bytes a token. */
const write = (tokens: number[]) => async (at: string) => {
  await writeFile(at, "x".repeat(tokens.length * 10), { mode: 0o600 });
  return tokens.length * 10;
};
const save = (store: KvStore, tokens: number[], from = owner, shared = false) =>
  store.save(from, tokens, shared, write(tokens));
const read = async (at: string) => (await readFile(at, "utf8")).length / 10;
/** The files in the folder, without the file that holds the folder's name. */
const names = () => readdirSync(dir).filter((name) => name !== "folder");
const find = (store: KvStore, tokens: number[], cacheSalt = "org") =>
  store.candidates(blockHashes(saltOf(cacheSalt), tokens)).map((file) => file.tokens.length);

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), "lineshaft-kv-"));
  removed = [];
});

afterEach(async () => {
  for (const store of stores) await store.close();
  stores = [];
  rmSync(dir, { recursive: true, force: true });
});

describe("KV files", () => {
  it("are for the owner's eyes only", async () => {
    const store = openStore();
    await save(store, run(0, 100));
    await store.settled();
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(dir)) expect(statSync(path.join(dir, name)).mode & 0o777).toBe(0o600);
    expect(
      names()
        .map((name) => path.extname(name))
        .toSorted(),
    ).toEqual([".json", ".state"]);
  });

  it("are found by any prompt that shares a block, of the same cacheSalt", async () => {
    const store = openStore();
    await save(store, run(0, 200));
    expect(find(store, [...run(0, 130), 9, 9])).toEqual([200]);
    expect(find(store, run(0, 63))).toEqual([]);
    expect(find(store, run(1, 200))).toEqual([]);
    expect(find(store, run(0, 200), "other")).toEqual([]);
  });

  it("outlive the worker, and serve another that shares the folder", async () => {
    const first = openStore();
    const neighbour = openStore();
    const file = await save(first, run(0, 200));
    await first.settled();
    expect(find(neighbour, run(0, 200))).toEqual([200]);
    expect(await neighbour.load(file!.id, read)).toBe(true);
    await first.close();
    const next = openStore();
    expect(find(next, run(0, 200))).toEqual([200]);
    expect(await next.load(file!.id, read)).toBe(true);
    expect(next.usage()).toMatchObject({ files: 1, usedBytes: 2000 });
  });

  it("of another model are counted, never served", async () => {
    const first = openStore();
    await save(first, run(0, 200));
    await first.settled();
    const other = openStore({ fingerprint: "model-2" });
    expect(find(other, run(0, 200))).toEqual([]);
    expect(other.usage().usedBytes).toBe(2000);
    expect(find(openStore({ contextTokens: 150 }), run(0, 200))).toEqual([]);
  });

  it("that are dropped while they are described leave nothing of their prompt behind", async () => {
    const store = openStore();
    const { index } = store as unknown as { index: KvIndex };
    const get = index.get.bind(index);
    let isDropped = false;
    // The last look before the sidecar gets its name: right after it the run ends, and its state is removed.
    index.get = (id) => {
      const found = get(id);
      if (!found || isDropped) return found;
      isDropped = true;
      index.remove(id);
      rmSync(path.join(dir, `${id}.state`));
      return found;
    };
    await save(store, run(0, 100));
    await store.settled();
    expect(isDropped).toBe(true);
    expect(names()).toEqual([]);
  });

  it("that are damaged, cut short or gone are a miss", async () => {
    const store = openStore();
    const files = [];
    for (const from of [0, 1000, 2000]) files.push((await save(store, run(from, 100)))!);
    await store.settled();
    await store.close();
    const next = openStore();
    writeFileSync(path.join(dir, `${files[0]!.id}.state`), "y".repeat(1000));
    truncateSync(path.join(dir, `${files[1]!.id}.state`), 10);
    rmSync(path.join(dir, `${files[2]!.id}.state`));
    for (const file of files) expect(await next.load(file.id, read)).toBe(false);
    expect(next.usage().files).toBe(0);
    expect(names()).toEqual([]);
  });

  it("with a sidecar that is no sidecar are ignored", async () => {
    writeFileSync(path.join(dir, "aa.json"), "{");
    writeFileSync(path.join(dir, "bb.json"), JSON.stringify({ version: 2 }));
    expect(openStore().usage().files).toBe(0);
  });

  it("of a version that shared within an organisation are not used, and are removed", async () => {
    const store = openStore();
    const file = (await save(store, run(0, 100)))!;
    await store.close();
    const sidecar = path.join(dir, `${file.id}.json`);
    const { cacheSalt, ...rest } = JSON.parse(readFileSync(sidecar, "utf8")) as Record<string, unknown>;
    writeFileSync(sidecar, JSON.stringify({ ...rest, version: 1, organisation: cacheSalt }));
    expect(openStore().usage().files).toBe(0);
    await expect.poll(names).toEqual([]);
  });

  it("that the library refuses are dropped", async () => {
    const store = openStore();
    const file = (await save(store, run(0, 100)))!;
    const refuse = async () => {
      throw new Error("refused");
    };
    expect(await store.load(file.id, refuse)).toBe(false);
    expect(store.keeps(file.id)).toBe(false);
  });

  it("half-written by a worker that was killed are swept away once old", async () => {
    for (const name of ["old.state", "lone.json", "old.tmp", "new.state", "next.json"])
      writeFileSync(path.join(dir, name), "x");
    const longAgo = Date.now() / 1000 - 3600;
    for (const name of ["old.state", "lone.json", "old.tmp"]) utimesSync(path.join(dir, name), longAgo, longAgo);
    await openStore().settled();
    expect(names().toSorted()).toEqual(["new.state", "next.json"]);
  });
});

describe("the disk budget", () => {
  it("makes room by the least recently used, across replicas", async () => {
    let clock = Date.now() + 1_000_000;
    const now = () => (clock += 1000);
    const store = openStore({ budgetBytes: 3500, now });
    const [a, b] = [(await save(store, run(0, 100)))!, (await save(store, run(1000, 100)))!];
    await save(store, run(2000, 100));
    await store.settled();
    // Another replica uses the oldest.
    const neighbour = openStore({ budgetBytes: 3500, now });
    expect(await neighbour.load(a.id, read)).toBe(true);
    await neighbour.settled();
    await save(store, run(3000, 100));
    expect(store.keeps(a.id)).toBe(true);
    expect(store.keeps(b.id)).toBe(false);
    expect(store.usage()).toMatchObject({ files: 3, usedBytes: 3000 });
  });

  it("refuses what could never fit, and keeps everything else", async () => {
    const store = openStore({ budgetBytes: 1500 });
    await save(store, run(0, 100));
    expect(store.maxTokens).toBe(150);
    expect(await save(store, run(1000, 200))).toBeUndefined();
    expect(store.usage().files).toBe(1);
  });

  it("survives a disk that is full", async () => {
    const store = openStore();
    const full = async () => {
      throw new Error("ENOSPC");
    };
    expect(await store.save(owner, run(0, 100), false, full)).toBeUndefined();
    expect(names()).toEqual([]);
  });
});

describe("whose a KV file is", () => {
  it("a longer state of the same run supersedes the shorter, another run's stays", async () => {
    const store = openStore();
    await save(store, run(0, 100));
    await save(store, run(0, 150), { ...owner, program: "run-2" });
    await save(store, run(0, 200));
    expect(find(store, run(0, 200)).toSorted()).toEqual([150, 200]);
  });

  it("goes with its project, unless another owns it too", async () => {
    const store = openStore();
    await save(store, run(0, 100));
    const both = (await save(store, run(1000, 100), owner, true))!;
    await save(store, run(1000, 100), { ...owner, project: "p2" }, true);
    expect(await store.eraseProject("p1")).toEqual({ files: 1, bytes: 1000 });
    await store.settled();
    expect(store.get(both.id)?.projects).toEqual(["p2"]);
    expect(readFileSync(path.join(dir, `${both.id}.json`), "utf8")).not.toContain("p1");
    await store.eraseProject("p2");
    expect(names()).toEqual([]);
  });

  it("goes with its run, unless it is a shared prefix", async () => {
    const store = openStore();
    await save(store, run(0, 100));
    await save(store, run(0, 64), owner, true);
    expect(await store.dropProgram("run-1")).toBe(100);
    expect(store.usage().files).toBe(1);
    expect(store.ofProgram("run-1")).toEqual([]);
    expect(removed).toHaveLength(1);
  });
});

describe("a state lent to another worker", () => {
  const give = (store: KvStore, tokens: number[], from = owner) => lend(store, from, tokens, write(tokens));

  it("is found by its lease in every process of the folder, once it is published", async () => {
    const [one, other] = [openStore(), openStore()];
    const lease = (await give(one, run(0, 100)))!;
    const { id } = lent(one, lease)!;
    expect(await one.published(id)).toBe(true);
    expect(lent(other, lease)!.tokens).toEqual(run(0, 100));
    expect(await other.load(id, read)).toBe(true);
    for (const no of ["", id, `../${lease}`, lease.replace(/^./, "g")]) expect(lent(other, no)).toBeUndefined();
    expect(lent(openStore({ fingerprint: "model-2" }), lease)).toBeUndefined();
  });

  it("is taken by no budget and no newer state of any process while it is leased", async () => {
    const [one, other] = [openStore({ budgetBytes: 2500 }), openStore({ budgetBytes: 2500 })];
    const lease = (await give(one, run(0, 100)))!;
    const { id } = lent(one, lease)!;
    await one.published(id);
    // The oldest file, which must still not be evicted.
    expect(await save(other, run(1000, 100))).toBeDefined();
    expect(await save(other, run(2000, 150))).toBeDefined();
    expect(await save(other, run(3000, 200))).toBeUndefined();
    expect(await save(one, run(0, 120))).toBeDefined();
    expect(lent(other, lease)).toBeDefined();
    await other.release(lease);
    expect(await save(other, run(3000, 200))).toBeDefined();
    expect(lent(one, lease)).toBeUndefined();
  });

  it("is let go by time alone when its lease is never ended", async () => {
    let clock = Date.now();
    const now = () => clock;
    const store = openStore({ budgetBytes: 1500, now });
    const lease = (await give(store, run(0, 100)))!;
    expect(await save(store, run(1000, 100))).toBeUndefined();
    clock += leaseMs;
    expect(await save(store, run(1000, 100))).toBeDefined();
    expect(lent(store, lease)).toBeUndefined();
    expect(names().filter((name) => name.endsWith(".lease"))).toEqual([]);
  });

  it("is kept until the last of its leases ends", async () => {
    const store = openStore({ budgetBytes: 1500 });
    const [first, second] = [(await give(store, run(0, 100)))!, (await give(store, run(0, 100)))!];
    expect(first).not.toBe(second);
    await store.release(first);
    expect(await save(store, run(1000, 100))).toBeUndefined();
    await store.release(second);
    expect(await save(store, run(1000, 100))).toBeDefined();
  });

  it("goes with its lease when its run has ended, and with its project at once", async () => {
    const store = openStore();
    const [ended, erased] = [(await give(store, run(0, 100)))!, (await give(store, run(1000, 100)))!];
    expect(await store.dropProgram("run-1")).toBe(200);
    expect(lent(store, ended)).toBeDefined();
    await store.release(ended);
    expect(lent(store, ended)).toBeUndefined();
    await store.eraseProject("p1");
    expect(lent(store, erased)).toBeUndefined();
    expect(names().filter((name) => !name.endsWith(".lease"))).toEqual([]);
  });

  it("has no lease when it cannot be kept", async () => {
    const store = openStore({ budgetBytes: 500 });
    expect(await give(store, run(0, 100))).toBeUndefined();
    expect(names()).toEqual([]);
    rmSync(dir, { recursive: true });
    expect(await give(store, run(0, 10))).toBeUndefined();
  });

  it("survives that two processes write it one after the other", async () => {
    const [one, other] = [openStore(), openStore()];
    const mine = async (at: string, letter: string) => {
      await writeFile(at, letter.repeat(1000), { mode: 0o600 });
      return 1000;
    };
    // Neither process has seen the other's file, so both write, and the later content remains.
    const [a, b] = await Promise.all([
      one.save(owner, run(0, 100), false, (at) => mine(at, "a")),
      other.save(owner, run(0, 100), false, (at) => mine(at, "b")),
    ]);
    await Promise.all([one.settled(), other.settled()]);
    expect(a!.id).toBe(b!.id);
    expect(await one.load(a!.id, read)).toBe(true);
    expect(await other.load(b!.id, read)).toBe(true);
  });
});

describe("what a store learns", () => {
  it("bytes of a token come from the files that there are", async () => {
    const store = openStore({ bytesPerToken: 40 });
    expect(store.maxTokens).toBe(250);
    await save(store, run(0, 100));
    expect(store.bytesPerToken).toBe(10);
    expect(store.maxTokens).toBe(1000);
    await store.settled();
    expect(openStore({ bytesPerToken: 40 }).bytesPerToken).toBe(10);
  });

  it("all processes of a folder that read each other's files have one pool", () => {
    expect(openStore().pool).toBe(openStore().pool);
    expect(openStore({ fingerprint: "model-2" }).pool).not.toBe(openStore().pool);
    const elsewhere = mkdtempSync(path.join(tmpdir(), "lineshaft-kv-"));
    expect(openStore({ dir: elsewhere }).pool).not.toBe(openStore().pool);
    rmSync(elsewhere, { recursive: true });
  });
});
