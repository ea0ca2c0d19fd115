// What peers are probably doing in this very moment. Gateways that see the same loads choose alike, and hear of each other
// only later: an endpoint that has just come back empty would be filled by all of them at once. So a placement that load
// alone decided is counted more than once for a while: once more for every peer that is as active as this gateway. When the peers' own
// messages have had time to arrive, the guess goes.
import type { SeenLoad } from "./handle.ts";

/** Half-life of a gateway's activity: a few seconds' placements say whether it places calls now. */
const activityHalfLifeMs = 10_000;
/** Placements that every gateway is assumed to have made before anything is known: unknown peers are as active as this gateway. */
const placementsAssumed = 4;
/** A peer that is far more active than this gateway counts as at most this many of it. */
const mostPerPeer = 2;

/** A count that fades. */
export class Activity {
  private readonly halfLifeMs: number;
  private count = 0;
  private atMs = 0;

  constructor(halfLifeMs = activityHalfLifeMs) {
    this.halfLifeMs = halfLifeMs;
  }

  add(count: number, now: number): void {
    this.count = this.at(now) + count;
    this.atMs = now;
  }

  at(now: number): number {
    return this.count * 2 ** (-Math.max(0, now - this.atMs) / this.halfLifeMs);
  }
}

interface Guess {
  load: SeenLoad;
  prefill: number;
  kv: number;
  calls: number;
}

export class Echo {
  private readonly own = new Activity();
  private readonly windowMs: number;
  private young: Guess[] = [];
  private old: Guess[] = [];
  private turnedAtMs = 0;
  private untold = 0;

  /** `windowMs`: how long peers' news usually takes. A guess lives for one to two windows. */
  constructor(windowMs: number) {
    this.windowMs = windowMs;
  }

  /** A placement of this gateway. It counts as activity once peers were sent it: their newest placements are not known here either. */
  placed(): void {
    this.untold++;
  }

  told(now: number): void {
    this.own.add(this.untold, now);
    this.untold = 0;
  }

  /**
   * Adds to `load` what peers are expected to place there too. Calls are guessed apart from the calls that are known: their number is a
   * limit, and a guess must not make an endpoint full.
   */
  guess(load: SeenLoad, prefill: number, kv: number, peers: Iterable<Activity>, now: number): void {
    this.turn(now);
    const own = this.own.at(now) + placementsAssumed;
    let others = 0;
    for (const peer of peers) others += Math.min(mostPerPeer, (peer.at(now) + placementsAssumed) / own);
    if (others === 0) return;
    const guess = { load, prefill: prefill * others, kv: kv * others, calls: others };
    load.prefillTokens += guess.prefill;
    load.kvTokens += guess.kv;
    load.guessedCalls += guess.calls;
    load.guessedPrefill += guess.prefill;
    load.guessedKv += guess.kv;
    this.young.push(guess);
  }

  /** Takes back guesses whose time is over. */
  turn(now: number): void {
    if (now - this.turnedAtMs < this.windowMs) return;
    const both = now - this.turnedAtMs >= 2 * this.windowMs;
    for (const guess of both ? [...this.old, ...this.young] : this.old) {
      guess.load.prefillTokens -= guess.prefill;
      guess.load.kvTokens -= guess.kv;
      guess.load.guessedCalls -= guess.calls;
      guess.load.guessedPrefill -= guess.prefill;
      guess.load.guessedKv -= guess.kv;
    }
    this.old = both ? [] : this.young;
    this.young = [];
    this.turnedAtMs = now;
  }
}
