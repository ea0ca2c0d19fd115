// How admission begins, goes on without the database, and ends: what it begins in vain it takes back.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { newId, Session, spoolFolders, StoreUnavailableError, type Database } from "../../store/index.ts";
import { ownPostgres, tamper, testDatabase } from "../../store/testing.ts";
import { Budgets } from "../budgets.ts";
import { fenceEpoch } from "../leases/leases.ts";
import { makeOrganisation } from "../leases/testing.ts";
import { Replay } from "../posting/replay.ts";
import { rows } from "../posting/testing.ts";
import type { HoldRequest, RateCard } from "../types.ts";
import { Admission } from "./admission.ts";

const rateCard: RateCard = {
  id: "org_1/small/1",
  model: "small",
  version: 1,
  currency: "USD",
  inputNanoPerMillion: 1_000_000n,
  cachedNanoPerMillion: 1_000_000n,
  outputNanoPerMillion: 2_000_000n,
};

const holdOf = (): HoldRequest => ({
  attempt: newId("att"),
  call: newId("call"),
  organisation: "org_1",
  project: "prj_1",
  key: "key_1",
  agent: undefined,
  run: undefined,
  rateCard,
  promptTokens: 100,
  outputTokens: 1_000,
  whole: false,
  leastOutputTokens: 16,
  context: {},
  signal: new AbortController().signal,
});

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "spools-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

type Options = Parameters<typeof Admission.open>[0];

async function optionsOf(db: Database, more: Partial<Options> = {}): Promise<Options> {
  const session = await Session.open({ url: db.url });
  onTestFinished(() => session.close());
  const nothing = () => {};
  const heard = { onSpoolFailure: nothing, onAlarm: nothing, onFenced: nothing };
  return { db, session, spools: temporary(), machine: "m1", rows, ...heard, ...more };
}

const states = async (db: Database) =>
  (await db.query<{ state: string }>("select state from epochs order by id")).rows.map(({ state }) => state);

test("with a database that refuses connections, calls go on until the offline term is over, and again when it is back", async () => {
  await using server = await ownPostgres();
  await using db = server.open();
  await makeOrganisation(db);
  const offlineMs = 3_000;
  let nowMs = 0;
  const admission = await Admission.open(await optionsOf(db, { offlineMs, clock: () => nowMs }));
  const call = async () => {
    const request = holdOf();
    // At once where it can be, as the gateway asks.
    const result = admission.holdNow(request) ?? (await admission.hold(request));
    const tokens = { promptTokens: 100, cachedTokens: 0, outputTokens: 1 };
    admission.settle({ attempt: request.attempt, tokens, usageSource: "engine", row: () => undefined });
    return result.admitted;
  };
  expect(await call()).toBe(true);
  await server.kill();
  nowMs += offlineMs - 1;
  expect(await call()).toBe(true);
  nowMs += 1;
  await expect(call()).rejects.toBeInstanceOf(StoreUnavailableError);
  await server.start();
  await expect.poll(() => call().catch(() => false)).toBe(true);
  await admission.close();
});

test("an epoch whose spool cannot be written is closed: it would be waited for by every change of a budget", async () => {
  await using db = await testDatabase();
  const options = await optionsOf(db);
  const file = join(options.spools, "file");
  writeFileSync(file, "");
  await expect(Admission.open({ ...options, spools: join(file, "spools") })).rejects.toMatchObject({ code: "ENOTDIR" });
  await expect.poll(() => states(db)).toEqual(["closed"]);
});

test("an epoch that cannot hear of changes is closed, and its spool is left to be removed", async () => {
  await using db = await testDatabase();
  const options = await optionsOf(db);
  const { processId } = options.session;
  const listen = () => Promise.reject(new StoreUnavailableError("The session has ended.", { sent: false }));
  const session = { processId, listen } as unknown as Session;
  await expect(Admission.open({ ...options, session })).rejects.toThrow("The session has ended.");
  await expect.poll(() => states(db)).toEqual(["closed"]);
  await new Replay({ db, process: 1, root: options.spools, rows }).round();
  expect(spoolFolders(options.spools)).toEqual([]);
});

test("a process that was fenced goes on under a new epoch, and ends although an attempt of the old one was never settled", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const fenced = Promise.withResolvers<void>();
  const options = await optionsOf(db, { onFenced: () => fenced.resolve() });
  const admission = await Admission.open(options);
  const request = holdOf();
  await admission.hold(request);
  await admission.sent(request.attempt, "engine_1");
  const { rows: epochs } = await db.query<{ id: bigint }>("select id from epochs");
  await fenceEpoch(db, Number(epochs[0]!.id));
  await fenced.promise;
  expect((await admission.hold(holdOf())).admitted).toBe(true);
  await admission.close();
  expect(await states(db)).toEqual(["fenced", "live"]);
  // The next start settles both: the one that was sent, and the one that was not.
  expect(await new Replay({ db, process: 1, root: options.spools, rows }).round()).toBe(2);
  const { rows: settled } = await db.query("select attempt from settlements");
  expect(settled).toEqual([{ attempt: request.attempt }]);
});

test("where the database has another spool than was written, the process goes on under a new epoch, and new budgets count", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const alarms: string[] = [];
  const admission = await Admission.open(await optionsOf(db, { onAlarm: ({ code }) => void alarms.push(code) }));
  const call = async () => {
    const request = holdOf();
    const { admitted } = await admission.hold(request);
    const tokens = { promptTokens: 100, cachedTokens: 0, outputTokens: 1 };
    admission.settle({ attempt: request.attempt, tokens, usageSource: "engine", row: () => undefined });
    await admission.posted(admission.position()).catch(() => {});
    return admitted;
  };
  expect(await call()).toBe(true);
  await tamper(db, "update spools set chain = chain + 1");
  const underWay = holdOf();
  await admission.hold(underWay);
  await call();
  await expect.poll(() => states(db)).toEqual(["fenced", "live"]);
  expect(alarms).toContain("spool_forked");
  const scope = { kind: "project", id: "prj_1" } as const;
  const set = { organisation: "org_1", scope, currency: "USD", limitNano: 1_000n, period: "total" } as const;
  await new Budgets(db).set(set);
  expect(await call()).toBe(true);
  const tokens = { promptTokens: 1, cachedTokens: 0, outputTokens: 1 };
  admission.settle({ attempt: underWay.attempt, tokens, usageSource: "engine", row: () => undefined });
  await admission.close();
});
