// What a dead process left open, and how it ends. Pure: the records of its spool in their order go in, the records that end them come out.
//
//   held, not sent          0: the engine was never asked
//   sent, with progress     the prompt and the output that the newest extension had seen
//   sent, without           the whole hold: nothing says how far the engine came
//   sent, done again        0, and the above in suspense: the work is done and paid for a second time (a line of a batch)
//
// Progress is output that was seen after the attempt was sent. An extension before that pays for an engine that cannot be stopped, and one
// that has seen nothing only says that the hold has changed.
//
// A call whose last attempt is settled but which has no record of its own gets one. An attempt that is not settled is open, although its
// call may have a record: its settlement could not be written.
import { billable, unanswered, type Billable } from "../claims.ts";
import type { RecordRows, Settlement } from "../types.ts";
import { holdOf, settlementOf } from "./decode.ts";
import { encodeCall, encodeSettle } from "./encode.ts";
import type { HoldRecord, SettlementItem, WrittenRecord } from "./records.ts";

type Hold = Extract<WrittenRecord, { k: "hold" }>;

/** An attempt whose call has no record yet. */
interface Attempt {
  /** With what the newest extension says of amount, cover, prompt, shares and the moment that it counts at. */
  hold: Hold;
  /** Undefined until an extension said it of an attempt that was sent. */
  seen: number | undefined;
  sentTo: string | undefined;
  settled: SettlementItem | undefined;
}

/** The attempts of one spool whose calls have not ended. Its size is that of the work that was under way. */
export class Unended {
  /** By call, in the order of their holds. */
  readonly #calls = new Map<string, Attempt[]>();
  readonly #attempts = new Map<string, Attempt>();

  note(record: WrittenRecord): void {
    switch (record.k) {
      case "hold":
        return this.#held(record);
      case "sent": {
        const attempt = this.#attempts.get(record.attempt);
        if (attempt) attempt.sentTo = record.engine;
        return;
      }
      case "extend": {
        const attempt = this.#attempts.get(record.attempt);
        if (!attempt) return;
        const { amount, covered, shares, at, prompt = attempt.hold.prompt } = record;
        attempt.hold = { ...attempt.hold, amount, covered, shares, at, prompt };
        if (attempt.sentTo !== undefined && record.seen > 0) attempt.seen = record.seen;
        return;
      }
      case "settle": {
        const attempt = this.#attempts.get(record.item.attempt);
        if (attempt) attempt.settled = record.item;
        return;
      }
      case "call":
        return this.#called(record.call);
    }
  }

  /** The records that end everything, one call after the other. */
  *endings(rows: Pick<RecordRows, "ofCrash" | "isRedone">): Iterable<Buffer[]> {
    for (const [call, attempts] of this.#calls) {
      const records: Buffer[] = [];
      const settlements = new Map<string, Settlement>();
      let callRow: unknown;
      for (const attempt of attempts) {
        const record = holdOf(attempt.hold);
        const isFree = attempt.sentTo !== undefined && rows.isRedone(record.held);
        const settlement = attempt.settled ? settlementOf(attempt.settled) : settlementOfCrash(attempt, record, isFree);
        const row = rows.ofCrash(record.held, settlement, attempt.sentTo, settlements);
        settlements.set(record.held.attempt, settlement);
        callRow = row.call;
        if (!attempt.settled)
          records.push(
            encodeSettle({
              held: record.held,
              heldNano: record.amountNano,
              shares: record.shares,
              countedAtMs: record.countedAtMs,
              settlement,
              unanswered: isFree,
              row: row.attempt,
            }),
          );
      }
      yield [...records, encodeCall({ call, row: callRow })];
    }
  }

  /** Rows of the calls of which an attempt is settled, as JSON, by what the last of these says. What is open of them is not ended. */
  *callsOfSettled(rows: Pick<RecordRows, "ofCrash">): Iterable<string> {
    for (const attempts of this.#calls.values()) {
      const settled = attempts.filter((one) => one.settled);
      const last = settled.at(-1);
      if (!last) continue;
      const settlements = new Map(settled.map((one) => [one.hold.attempt, settlementOf(one.settled!)]));
      const own = settlements.get(last.hold.attempt)!;
      yield JSON.stringify(rows.ofCrash(holdOf(last.hold).held, own, last.sentTo, settlements).call);
    }
  }

  /** A call's record ends those of its attempts that are settled. */
  #called(call: string): void {
    const attempts = this.#calls.get(call) ?? [];
    const open = attempts.filter(({ settled }) => settled === undefined);
    for (const { hold, settled } of attempts) if (settled) this.#attempts.delete(hold.attempt);
    if (open.length > 0) this.#calls.set(call, open);
    else this.#calls.delete(call);
  }

  #held(hold: Hold): void {
    if (this.#attempts.has(hold.attempt)) return;
    const attempt: Attempt = {
      hold,
      seen: undefined,
      sentTo: undefined,
      settled: undefined,
    };
    this.#attempts.set(hold.attempt, attempt);
    const others = this.#calls.get(hold.call);
    if (others) others.push(attempt);
    else this.#calls.set(hold.call, [attempt]);
  }
}

function settlementOfCrash(attempt: Attempt, hold: HoldRecord, isFree: boolean): Settlement {
  const { held } = hold;
  const { tokens, amountNano, suspenseNano, claimed } = billableOfCrash(attempt, hold, isFree);
  return {
    attempt: held.attempt,
    amountNano,
    suspenseNano,
    tokens,
    claimed,
    usageSource: attempt.sentTo === undefined ? "counted" : "estimated",
    currency: held.rateCard.currency,
    repeated: false,
  };
}

function billableOfCrash(attempt: Attempt, { held, amountNano, coveredTokens }: HoldRecord, isFree: boolean): Billable {
  const { promptTokens, units, rateCard } = held;
  const unitsUsed = units && { units };
  const used =
    attempt.sentTo === undefined
      ? { promptTokens: 0, outputTokens: 0 }
      : { promptTokens, outputTokens: attempt.seen ?? coveredTokens, ...unitsUsed };
  if (isFree) return unanswered({ ...used, cachedTokens: 0 }, rateCard);
  const most = { promptTokens, outputTokens: coveredTokens, ...unitsUsed };
  return billable({ ...used, cachedTokens: 0 }, most, amountNano, rateCard);
}
