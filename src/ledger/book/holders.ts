// What a hold or an extension needs, and how it is made.
import type { Holder, Purse, Share, Waiter } from "./purse.ts";
import type { BookExtension, BookHold, HeldShare, ShareName } from "./types.ts";

/** A hold that waits for its extension gets no further by itself; one that waits for an acknowledgement does. */
export const isStuck = ({ extension, cutBy }: Holder): boolean =>
  cutBy === undefined && extension?.stuck === true && extension.purses.every(({ isAcknowledged }) => isAcknowledged);

export const before = (a: Waiter, b: Waiter): number =>
  Number(a.holder === undefined) - Number(b.holder === undefined) || a.order - b.order;

export const nameOf = ({ purse, period }: Share): ShareName => ({ budget: purse.budget, period });

/** Shares that were just granted: all of them in the present periods. */
export const namesOf = (shares: readonly Share[]): HeldShare[] =>
  shares.map(({ purse, period }) => {
    const { periodStartsAtMs, periodEndsAtMs } = purse.facts;
    return { budget: purse.budget, period, periodStartsAtMs, periodEndsAtMs };
  });

/** What a waiter needs of a purse: the increase, or everything where its share lies in a period that is over. */
export function needOf(waiter: Waiter, purse: Purse): { leastNano: bigint; needNano: bigint; heldNano: bigint } {
  const { holder, leastNano, needNano } = waiter;
  const share = holder?.shares.find((one) => one.purse === purse);
  if (!holder || share?.period === purse.period) return { leastNano, needNano, heldNano: holder?.amountNano ?? 0n };
  const { amountNano } = holder;
  return { leastNano: amountNano + leastNano, needNano: amountNano + needNano, heldNano: 0n };
}

export function waiterOf(request: BookHold, order: number, nowMs: number, purses: Purse[]): Waiter {
  return {
    attempt: request.attempt,
    order,
    sinceMs: nowMs,
    leastNano: request.leastNano,
    needNano: request.needNano,
    stuck: true,
    asking: false,
    holder: undefined,
    request,
    purses,
  };
}

export function extensionOf(holder: Holder, asked: BookExtension, nowMs: number): Waiter {
  return {
    attempt: holder.attempt,
    order: holder.order,
    sinceMs: nowMs,
    leastNano: asked.leastNano,
    needNano: asked.needNano,
    stuck: asked.stuck,
    asking: false,
    holder,
    request: undefined,
    purses: holder.shares.map(({ purse }) => purse),
  };
}
