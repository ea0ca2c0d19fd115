// The end of a hold: what was used is settled, whatever stands in the way. A settlement that fails is tried again a few times
// before its caller is answered, then in the background until the ledger takes it. One that Postgres refuses for its data would be
// refused for ever and leave its hold open: it is settled for what was held, and raises an alarm.
import { billable, LedgerError } from "../ledger/index.ts";
import type { Ledger, Settlement, SettlementRequest } from "../ledger/index.ts";
import type { Alarms, Logger } from "../telemetry/index.ts";
import type { AdmittedAttempt } from "./state.ts";
import type { SettledUsage } from "./usage.ts";

const settleTries = 3;
const settleAgainMs = 1_000;

/** What was settled, or will be when the ledger takes it. */
export type Settled = Pick<Settlement, "amountNano" | "suspenseNano" | "tokens" | "claimed">;

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
  async settle(call: string, attempt: AdmittedAttempt, { usage, source }: SettledUsage): Promise<Settled> {
    const { promptTokens, cachedTokens, outputTokens } = usage;
    let request: SettlementRequest = {
      attempt: attempt.id,
      tokens: { promptTokens, cachedTokens, outputTokens },
      usageSource: source,
    };
    for (let tries = 1; ; tries++) {
      try {
        return await this.#ledger.settle(request);
      } catch (error) {
        this.#log.error(
          { call, attempt: attempt.id, err: (error as Error).message },
          "an attempt could not be settled",
        );
        if (isRefusedData(error)) request = this.#heldInFull(attempt, request);
        if (tries < settleTries && !(error instanceof LedgerError)) {
          await new Promise((resolve) => setTimeout(resolve, 100 * tries));
          continue;
        }
        if (!(error instanceof LedgerError)) this.#later(attempt, request);
        return billable(request.tokens, attempt.most, attempt.heldNano, attempt.card);
      }
    }
  }

  /** Gives back the hold of an attempt that was never sent. */
  async giveBack(call: string, attempt: AdmittedAttempt): Promise<void> {
    try {
      await this.#ledger.void(attempt.id);
    } catch (error) {
      this.#log.error({ call, attempt: attempt.id, err: (error as Error).message }, "a hold could not be given back");
      const tokens = { promptTokens: 0, cachedTokens: 0, outputTokens: 0 };
      if (!(error instanceof LedgerError))
        this.#later(attempt, { attempt: attempt.id, tokens, usageSource: "counted" });
    }
  }

  /** The hold stands until it is settled. If this process ends before, the next start settles the hold in full. */
  #later(attempt: AdmittedAttempt, request: SettlementRequest): void {
    const again = (error: unknown) => {
      if (error instanceof LedgerError) return;
      this.#later(attempt, isRefusedData(error) ? this.#heldInFull(attempt, request) : request);
    };
    setTimeout(() => void this.#ledger.settle(request).catch(again), settleAgainMs).unref();
  }

  /** The settlement of an attempt whose own numbers the database does not take. */
  #heldInFull(attempt: AdmittedAttempt, request: SettlementRequest): SettlementRequest {
    this.#alarms.raise({
      code: "settlement_refused",
      message:
        "The database refused the settlement of an attempt for its data; the whole hold was charged instead. Look for its error in the log and report it.",
      subject: attempt.card.model,
    });
    return { ...request, tokens: { ...attempt.most, cachedTokens: 0 }, usageSource: "estimated" };
  }
}

/** Postgres' classes 22 (data) and 23 (constraints), and counts that cannot be priced: trying again does not help. */
function isRefusedData(error: unknown): boolean {
  if (error instanceof RangeError) return true;
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^2[23][0-9A-Z]{3}$/.test(code);
}
