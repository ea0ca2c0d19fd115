// Holds and what waits for money, of one process.
import type { Purse } from "./purse.ts";
import type { BookExtension, BookHold, PurseView, ShareName } from "./types.ts";

/** A hold's part in a budget. The purse may have gone on to a new period. */
export interface Share {
  purse: Purse;
  period: string;
}

/** A hold that was admitted. */
export interface Holder {
  readonly attempt: string;
  /** In the order of admission: the larger, the younger. */
  readonly order: number;
  readonly beganMs: number;
  readonly scopes: readonly string[];
  readonly currency: string;
  shares: Share[];
  amountNano: bigint;
  extension: Waiter | undefined;
  /** The budget that ended it: it was told that it gets no more, and will be settled. */
  cutBy: PurseView | undefined;
}

/** What waits: a hold that is not admitted yet, or an extension of one. */
export interface Waiter {
  readonly attempt: string;
  /** Extensions wait in the order of their holds, before all holds that are not admitted. */
  readonly order: number;
  readonly sinceMs: number;
  leastNano: bigint;
  needNano: bigint;
  /** The answer stands still until the extension is there. */
  stuck: boolean;
  /** It is in a statement that the database has not answered. */
  asking: boolean;
  readonly holder: Holder | undefined;
  readonly request: BookHold | undefined;
  /** Purses that it counts against. */
  purses: Purse[];
}

/** A hold that waits for its extension gets no further by itself. */
export const isStuck = ({ extension, cutBy }: Holder): boolean => cutBy === undefined && extension?.stuck === true;

export const before = (a: Waiter, b: Waiter): number =>
  Number(a.holder === undefined) - Number(b.holder === undefined) || a.order - b.order;

export const namesOf = (shares: readonly Share[]): ShareName[] =>
  shares.map(({ purse, period }) => ({ budget: purse.budget, period }));

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
