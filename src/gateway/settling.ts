// The end of a hold: what was used is settled. A settlement that fails is tried again a few times before its caller is answered, then in
// the background until the ledger takes it. A settlement that Postgres refuses for its data would be refused for ever and leave its hold
// open, so the whole hold is settled then, by an amount that the database reads from the hold itself.
import { billable, LedgerError, stuckAlarm, unanswered } from "../ledger/index.ts";
import type { Ledger, Settlement, SettlementRequest } from "../ledger/index.ts";
import type { Alarms, Logger } from "../telemetry/index.ts";
import { countsOf, sourceOf } from "./counts.ts";
import { limits } from "./limits.ts";
import type { AdmittedAttempt, CallState, SettledUsage } from "./state.ts";

/** What was settled, or will be when the ledger takes it. */
export type Settled = Pick<Settlement, "amountNano" | "suspenseNano" | "tokens" | "claimed" | "usageSource">;

/** A settlement under way. Its own numbers are tried until the database refuses them, and the whole hold from then on. */
interface Pending {
  readonly call: CallState;
  readonly attempt: AdmittedAttempt;
  request: SettlementRequest;
  inFull: boolean;
}

export class Settling {
  readonly #ledger: Ledger;
  readonly #alarms: Alarms;
  readonly #log: Logger;

  constructor(rooms: { ledger: Ledger; alarms: Alarms; log: Logger }) {
    this.#ledger = rooms.ledger;
    this.#alarms = rooms.alarms;
    this.#log = rooms.log;
  }

  /** Settles an attempt; answers what is billed, also when the ledger has yet to take it. */
  async settle(call: CallState, attempt: AdmittedAttempt, used: SettledUsage): Promise<Settled> {
    const request: SettlementRequest = {
      attempt: attempt.id,
      tokens: countsOf(used.usage),
      usageSource: sourceOf(attempt.card, used.source),
      unanswered: used.unanswered,
    };
    const pending: Pending = { call, attempt, request, inFull: false };
    for (let tries = 1; ; tries++) {
      try {
        return await this.#ask(pending);
      } catch (error) {
        this.#log.error(
          { call: call.id, attempt: attempt.id, err: (error as Error).message },
          "an attempt could not be settled",
        );
        this.#refused(pending, error);
        if (tries < limits.settleTries && !(error instanceof LedgerError)) {
          await new Promise((resolve) => setTimeout(resolve, 100 * tries));
          continue;
        }
        if (!(error instanceof LedgerError)) this.#later(pending, limits.settleAgainMs);
        return expected(pending);
      }
    }
  }

  /** Gives back the hold of an attempt that was never sent. */
  async giveBack(call: CallState, attempt: AdmittedAttempt): Promise<void> {
    try {
      await this.#ledger.void(attempt.id);
    } catch (error) {
      this.#log.error(
        { call: call.id, attempt: attempt.id, err: (error as Error).message },
        "a hold could not be given back",
      );
      if (error instanceof LedgerError) return;
      const tokens = { promptTokens: 0, cachedTokens: 0, outputTokens: 0 };
      const request: SettlementRequest = { attempt: attempt.id, tokens, usageSource: "counted" };
      this.#later({ call, attempt, request, inFull: false }, limits.settleAgainMs);
    }
  }

  #ask({ request, inFull }: Pending): Promise<Settlement> {
    return inFull ? this.#ledger.settleInFull(request) : this.#ledger.settle(request);
  }

  /** The hold stands until it is settled. If this process ends before, another settles the hold in full. */
  #later(pending: Pending, afterMs: number): void {
    const again = (error: unknown) => {
      if (error instanceof LedgerError) return;
      this.#refused(pending, error);
      this.#later(pending, Math.min(2 * afterMs, limits.settleAgainMostMs));
    };
    setTimeout(() => void this.#ask(pending).catch(again), afterMs).unref();
  }

  /** Goes over to the whole hold where the database does not take the attempt's own numbers. */
  #refused(pending: Pending, error: unknown): void {
    if (!isRefusedData(error)) return;
    const { attempt, call } = pending;
    const { model } = attempt.card;
    const { organisation } = call.request.principal;
    if (pending.inFull) return this.#alarms.raise(stuckAlarm({ attempt: attempt.id, organisation, model, error }));
    pending.inFull = true;
    pending.request = { ...pending.request, tokens: { ...attempt.most, cachedTokens: 0 }, usageSource: "estimated" };
    this.#alarms.raise({
      code: "settlement_refused",
      message:
        "The database refused the settlement of an attempt for its data; the whole hold was charged instead. Look for its error in the log and report it.",
      subject: model,
      organisation,
    });
  }
}

/** What the ledger will answer when it takes the settlement. */
function expected({ attempt, request, inFull }: Pending): Settled {
  const { tokens, usageSource } = request;
  if (inFull) return { amountNano: attempt.heldNano, suspenseNano: 0n, tokens, claimed: undefined, usageSource };
  const billed = request.unanswered
    ? unanswered(tokens, attempt.card)
    : billable(tokens, attempt.most, attempt.heldNano, attempt.card);
  return { ...billed, usageSource };
}

/** Postgres' classes 22 (data) and 23 (constraints), and counts that cannot be priced: trying again does not help. */
function isRefusedData(error: unknown): boolean {
  if (error instanceof RangeError) return true;
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^2[23][0-9A-Z]{3}$/.test(code);
}
