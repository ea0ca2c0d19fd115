// Calls that wait for calls under way to end, in the order of arrival: a pure state machine without clock, input or output.
//
//   new -- a limit is short --> stands in that limit's line -- it has room, another limit is short --> stands in the other's line
//   stands in a line -- every limit has room --> served
//
// Each waiting call has a ticket by its arrival, and lines are ordered by ticket. A call stands in one line only, that of the first limit
// that has no room for it. It keeps later calls from that limit alone: a limit that has room is used by any call that needs nothing
// else. In a line that is left the next call is woken. Two calls can therefore never wait for each other.
//
// A call that needs two limits could be passed for ever, because one is used up by other calls whenever the other has room. After
// `usageMovesFree` changes of line the oldest such call of an organisation keeps what it has got while it waits for the rest. It takes
// limits in the order of their numbers, as every process does, so that calls that keep something cannot wait for each other in a circle.
import { limits } from "../limits.ts";
import type { Part } from "./share.ts";
import { windows } from "./types.ts";

/** A call that waits. `wake` is called when it should be looked at again. */
export class Waiter {
  readonly organisation: string;
  readonly ticket: number;
  readonly wake: () => void;
  /** The limit in whose line it stands. */
  line: number | undefined;
  /** Lines that it has left without being served. */
  moves = 0;
  /** Limits that it counts against already. */
  readonly kept: Part[] = [];

  constructor(organisation: string, ticket: number, wake: () => void) {
    this.organisation = organisation;
    this.ticket = ticket;
    this.wake = wake;
  }
}

export class Lines {
  /** Calls that stand in the line of a limit, by its number, each in the order of tickets. */
  readonly #lines = new Map<number, Waiter[]>();
  /** Calls that wait, by organisation, in the order of tickets. */
  readonly #waiting = new Map<string, Set<Waiter>>();
  #tickets = 0;

  /** A share has room, and no call that came before stands in the limit's line. Without a waiter the call came last. */
  fits({ share, amount }: Part, waiter?: Waiter): boolean {
    if (!share.fits(amount)) return false;
    const first = this.#lines.get(share.number)?.[0];
    return first === undefined || (waiter !== undefined && first.ticket >= waiter.ticket);
  }

  /** So many calls wait for a limit that no further one may. A call that waits already may still change to its line. */
  isFull({ share }: Part): boolean {
    return (this.#lines.get(share.number)?.length ?? 0) >= limits.usageWaitingMost;
  }

  enter(organisation: string, wake: () => void): Waiter {
    const waiter = new Waiter(organisation, this.#tickets++, wake);
    let all = this.#waiting.get(organisation);
    if (!all) this.#waiting.set(organisation, (all = new Set()));
    all.add(waiter);
    return waiter;
  }

  /**
   * Looks whether a call may begin: undefined where all of `parts` have room; the caller then counts those that are not in `kept` and
   * calls `leave`. Otherwise the part that is short, in whose line the call stands from now on where calls wait for it (`waitsFor`).
   * `parts` are in the order of `inOrder`.
   */
  look(waiter: Waiter, parts: readonly Part[]): Part | undefined {
    const short = parts.find((part) => !waiter.kept.includes(part) && !this.fits(part, waiter));
    if (!short) return undefined;
    if (waiter.line !== undefined && waiter.line !== short.share.number) {
      waiter.moves++;
      this.#leaveLine(waiter);
    }
    if (!waitsFor(short)) return short;
    this.#stand(waiter, short.share.number);
    if (this.#mayKeep(waiter)) keep(waiter, parts.slice(0, parts.indexOf(short)));
    return short;
  }

  isFirst(waiter: Waiter): boolean {
    return waiter.line !== undefined && this.#lines.get(waiter.line)![0] === waiter;
  }

  /** The call waits no more. What it kept is its caller's to count on or to give back. */
  leave(waiter: Waiter): void {
    this.#leaveLine(waiter);
    const all = this.#waiting.get(waiter.organisation)!;
    all.delete(waiter);
    if (all.size === 0) this.#waiting.delete(waiter.organisation);
  }

  /** A limit may have room: the first in its line is woken. It wakes the next one when it leaves. */
  wake(number: number): void {
    this.#lines.get(number)?.[0]?.wake();
  }

  #stand(waiter: Waiter, number: number): void {
    if (waiter.line === number) return;
    let line = this.#lines.get(number);
    if (!line) this.#lines.set(number, (line = []));
    line.splice(line.findLastIndex(({ ticket }) => ticket < waiter.ticket) + 1, 0, waiter);
    waiter.line = number;
  }

  #leaveLine(waiter: Waiter): void {
    const number = waiter.line;
    if (number === undefined) return;
    const line = this.#lines.get(number)!;
    line.splice(line.indexOf(waiter), 1);
    waiter.line = undefined;
    if (line.length === 0) this.#lines.delete(number);
    else this.wake(number);
  }

  /** One call of an organisation keeps limits at a time, so that a call's amount is all that can lie unused. */
  #mayKeep(waiter: Waiter): boolean {
    if (waiter.moves < limits.usageMovesFree) return false;
    if (waiter.kept.length > 0) return true;
    for (const other of this.#waiting.get(waiter.organisation)!) {
      if (other.kept.length > 0) return false;
      if (other.moves >= limits.usageMovesFree && other.ticket < waiter.ticket) return false;
    }
    return true;
  }
}

/** Whether calls wait for a limit: what is under way at once is given back within seconds. */
export const waitsFor = ({ limit }: Part): boolean => windows[limit.dimension].slotMs === undefined;

/** The order in which every process takes limits: those that refuse at once first, then by number. */
export const inOrder = (a: Part, b: Part): number =>
  Number(waitsFor(a)) - Number(waitsFor(b)) || a.limit.number - b.limit.number;

function keep(waiter: Waiter, parts: readonly Part[]): void {
  for (const part of parts) {
    if (!waitsFor(part) || waiter.kept.includes(part)) continue;
    part.slot = part.share.take(part.amount);
    waiter.kept.push(part);
  }
}
