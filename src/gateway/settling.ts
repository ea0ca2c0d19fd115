// The end of a hold: what was used is settled, whatever stands in the way. A settlement that fails is tried again a few times
// before its caller is answered, then in the background until the ledger takes it.
import { LedgerError, priceOf } from "../ledger/index.ts";
import type { Ledger, SettlementRequest } from "../ledger/index.ts";
import type { Logger } from "../telemetry/index.ts";
import type { AdmittedAttempt } from "./state.ts";
import type { SettledUsage } from "./usage.ts";

const settleTries = 3;
const settleAgainMs = 1_000;

export class Settling {
  readonly #ledger: Ledger;
  readonly #log: Logger;

  constructor(ledger: Ledger, log: Logger) {
    this.#ledger = ledger;
    this.#log = log;
  }

  /** Settles an attempt; answers its price, also when the ledger has yet to take it. */
  async settle(call: string, attempt: AdmittedAttempt, { usage, source }: SettledUsage): Promise<bigint> {
    const { promptTokens, cachedTokens, outputTokens } = usage;
    const tokens = { promptTokens, cachedTokens, outputTokens };
    for (let tries = 1; ; tries++) {
      try {
        const settlement = await this.#ledger.settle({ attempt: attempt.id, tokens, usageSource: source });
        return settlement.amountNano;
      } catch (error) {
        const { message } = error as Error;
        this.#log.error({ call, attempt: attempt.id, err: message }, "an attempt could not be settled");
        if (tries < settleTries && !(error instanceof LedgerError)) {
          await new Promise((resolve) => setTimeout(resolve, 100 * tries));
          continue;
        }
        if (!(error instanceof LedgerError)) this.#later({ attempt: attempt.id, tokens, usageSource: source });
        return priceOf(tokens, attempt.card);
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
      if (!(error instanceof LedgerError)) this.#later({ attempt: attempt.id, tokens, usageSource: "counted" });
    }
  }

  /** The hold stands until it is settled. If this process ends before, who comes after it settles the hold in full. */
  #later(request: SettlementRequest): void {
    const again = (error: unknown) => {
      if (!(error instanceof LedgerError)) this.#later(request);
    };
    setTimeout(() => void this.#ledger.settle(request).catch(again), settleAgainMs).unref();
  }
}
