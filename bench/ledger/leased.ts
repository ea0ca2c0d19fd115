// The path of today: admission by leases, records in the spool, posting in batches.
import { callRecords } from "../../src/gateway/calls/post.ts";
import { Admission } from "../../src/ledger/admission/admission.ts";
import { Database, Session, StoreUnavailableError } from "../../src/store/index.ts";
import { card, nextCall, organisation, outputTokens, promptTokens, rowsOf } from "./work.ts";

/** `isFree`: calls use nothing, so that a budget that is only as large as the holds lasts for ever. */
export async function openLeased(url: string, spools: string, isFree: boolean) {
  const db = new Database(url, { connections: 12 });
  const session = await Session.open({ url });
  const admission = await Admission.open({
    db,
    session,
    spools,
    machine: "bench",
    rows: callRecords,
    onSpoolFailure: (error) => {
      throw error;
    },
    onAlarm: ({ message }) => {
      throw new Error(message);
    },
    onFenced: () => {
      throw new Error("The process was fenced.");
    },
  });
  const tokens = isFree
    ? { promptTokens: 0, cachedTokens: 0, outputTokens: 0 }
    : { promptTokens, cachedTokens: 0, outputTokens };
  const { signal } = new AbortController();
  return {
    /** Holds a call and marks it as sent; answers how to end it, which resolves when its record is written. */
    async hold(account: number): Promise<() => Promise<void>> {
      const call = nextCall(account);
      const held = await admission.hold({
        ...call,
        organisation,
        agent: undefined,
        run: undefined,
        rateCard: card,
        promptTokens,
        outputTokens: 32_000,
        whole: false,
        leastOutputTokens: 16,
        context: { number: 1, endpoint: "chat", stream: true, startedAt: 1_700_000_000_000 },
        signal,
      });
      if (!held.admitted) throw new Error(`A hold was refused: ${held.why}.`);
      await admission.sent(call.attempt, "small-0");
      return async () => {
        let row: object = {};
        admission.settle({
          attempt: call.attempt,
          tokens,
          usageSource: "engine",
          row: ({ amountNano }) => {
            const rows = rowsOf(call, amountNano);
            row = rows.call;
            return rows.attempt;
          },
        });
        await admission.recordCall(call.call, row);
      };
    },
    /** Resolves when everything is in Postgres, however far the posting is behind. */
    async drained(): Promise<void> {
      const place = admission.position();
      for (;;) {
        try {
          return await admission.posted(place);
        } catch (error) {
          // A reader waits only so long.
          if (!(error instanceof StoreUnavailableError)) throw error;
        }
      }
    },
    async close(): Promise<void> {
      await admission.close();
      await session.close();
      await db.close();
    },
  };
}
