// Processes for tests of posting: an epoch with a real spool, whose attempts hold, settle and die as a gateway's would.
import { newId, newSpoolId, SpoolWriter, type Database } from "../../store/index.ts";
import type { Disk } from "../../store/spool/types.ts";
import { Budgets } from "../budgets.ts";
import type { ShareName } from "../book/types.ts";
import { Leases } from "../leases/leases.ts";
import { makeOrganisation } from "../leases/testing.ts";
import { priceOf, worstCase } from "../pricing.ts";
import type { HeldAttempt, RateCard, RecordRows, Settlement } from "../types.ts";
import { encodeCall, encodeExtend, encodeHold, encodeSent, encodeSettle } from "./encode.ts";

/** One nano a token. */
export const card: RateCard = {
  id: "org_1/small/1",
  model: "small",
  version: 1,
  currency: "USD",
  inputNanoPerMillion: 1_000_000n,
  cachedNanoPerMillion: 1_000_000n,
  outputNanoPerMillion: 1_000_000n,
};

/** Rows of attempts and calls as the gateway writes them, with the few columns that must not be null. */
export const rows: RecordRows = {
  async post(client, { attempts, calls }) {
    await client.query(
      `with recorded as (
         insert into calls select c.* from json_populate_recordset(null::calls, $1) c on conflict (id) do nothing)
       insert into attempts select a.* from json_populate_recordset(null::attempts, $2) a on conflict (id) do nothing`,
      [calls, attempts],
    );
  },
  isRedone: () => false,
  ofCrash: (held, settled, sentTo) => ({
    attempt: sentTo === undefined ? undefined : attemptRow(held, settled, sentTo),
    call: callRow(held, settled, "failed"),
  }),
};

const attemptRow = (held: HeldAttempt, settled: Settlement, engine: string) => ({
  id: held.attempt,
  call: held.call,
  number: 1,
  engine,
  status: "completed",
  timings: [],
  prompt_tokens: settled.tokens.promptTokens,
  cached_tokens: 0,
  output_tokens: settled.tokens.outputTokens,
  price_nano: settled.amountNano.toString(),
  suspense_nano: "0",
});

const callRow = (held: HeldAttempt, settled: Settlement, status: string) => ({
  id: held.call,
  organisation: held.organisation,
  project: held.project,
  key: held.key,
  endpoint: "chat",
  model: held.rateCard.model,
  stream: false,
  status,
  prompt_tokens: settled.tokens.promptTokens,
  cached_tokens: 0,
  output_tokens: settled.tokens.outputTokens,
  price_nano: settled.amountNano.toString(),
  currency: "USD",
  started_at: "2026-01-01T00:00:00Z",
  duration_ms: 1,
});

interface Work {
  held: HeldAttempt;
  heldNano: bigint;
  coveredTokens: number;
  countedAtMs: number;
}

interface SpoolOptions {
  fileBytes?: number;
  disk?: Disk;
}

/** A process that takes a lease of one budget and works on it. */
export class TestProcess {
  readonly db: Database;
  readonly leases: Leases;
  readonly writer: SpoolWriter;
  readonly shares: ShareName[] = [];

  private constructor(db: Database, leases: Leases, writer: SpoolWriter) {
    this.db = db;
    this.leases = leases;
    this.writer = writer;
  }

  static async begin(db: Database, root: string, options: SpoolOptions = {}): Promise<TestProcess> {
    await makeOrganisation(db);
    const id = newSpoolId();
    const leases = await Leases.begin({ db, process: 1, machine: "m", spool: id });
    const writer = SpoolWriter.open({ root, id, epoch: String(leases.epoch.id), ...options });
    return new TestProcess(db, leases, writer);
  }

  /** Takes so much of a budget, which it sets where there is none. */
  async lease(limitNano: bigint, amountNano: bigint): Promise<string> {
    const scope = { kind: "project", id: "prj_1" } as const;
    const budgets = new Budgets(this.db);
    const { id } = await budgets.set({
      organisation: "org_1",
      scope,
      currency: "USD",
      limitNano,
      period: "total",
      fresh: true,
    });
    const part = {
      budget: id,
      leastNano: amountNano,
      needNano: amountNano,
      wantNano: amountNano,
      stuckYoungestMs: undefined,
    };
    const [answer] = await this.leases.take([{ ask: "a", parts: [part] }]);
    if (answer?.state !== "granted") throw new Error(`Not leased: ${answer?.state}.`);
    this.shares.push({ budget: id, period: answer.facts!.period });
    return id;
  }

  hold({ call = newId("call"), promptTokens = 10, coveredTokens = 20, attempt = newId("att") } = {}): Work {
    const held: HeldAttempt = {
      attempt,
      call,
      organisation: "org_1",
      project: "prj_1",
      key: "key_1",
      agent: undefined,
      run: undefined,
      rateCard: card,
      promptTokens,
      outputTokens: 1000,
      context: { of: attempt },
    };
    const heldNano = worstCase({ promptTokens, maxOutputTokens: coveredTokens }, card);
    const work = { held, heldNano, coveredTokens, countedAtMs: this.leases.databaseTimeMs() };
    this.writer.append([encodeHold({ ...work, amountNano: heldNano, shares: this.shares })]);
    return work;
  }

  sent({ held }: Work): void {
    this.writer.append([encodeSent({ attempt: held.attempt, engine: "engine_1" })]);
  }

  extend(work: Work, coveredTokens: number, seenTokens: number): void {
    work.coveredTokens = coveredTokens;
    work.heldNano = worstCase({ promptTokens: work.held.promptTokens, maxOutputTokens: coveredTokens }, card);
    const { held, heldNano, countedAtMs } = work;
    this.writer.append([
      encodeExtend({
        attempt: held.attempt,
        amountNano: heldNano,
        coveredTokens,
        seenTokens,
        shares: this.shares,
        countedAtMs,
      }),
    ]);
  }

  /** Settles for all that the hold covers, or for so many output tokens. `row`: changes to the attempt's row. */
  settle({ held, heldNano, coveredTokens, countedAtMs }: Work, output = coveredTokens, row: object = {}): Settlement {
    const tokens = { promptTokens: held.promptTokens, cachedTokens: 0, outputTokens: output };
    const settlement: Settlement = {
      attempt: held.attempt,
      amountNano: priceOf(tokens, card),
      suspenseNano: 0n,
      tokens,
      claimed: undefined,
      usageSource: "engine",
      currency: "USD",
      repeated: false,
    };
    this.writer.append([
      encodeSettle({
        held,
        heldNano,
        shares: this.shares,
        countedAtMs,
        settlement,
        unanswered: false,
        row: { ...attemptRow(held, settlement, "engine_1"), ...row },
      }),
    ]);
    return settlement;
  }

  recordCall({ held }: Work, settlement: Settlement, row: object = {}): void {
    const whole = { ...callRow(held, settlement, "completed"), ...row };
    this.writer.append([encodeCall({ call: held.call, row: whole })]);
  }

  /** One whole call; answers what it cost. */
  call(options: Parameters<TestProcess["hold"]>[0] & { output?: number } = {}): bigint {
    const work = this.hold(options);
    this.sent(work);
    const settlement = this.settle(work, options.output);
    this.recordCall(work, settlement);
    return settlement.amountNano;
  }
}
