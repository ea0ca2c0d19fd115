// Programs that are alive at other gateways. Gateways that share endpoints share their KV, so each plans with the programs of all.
//
// Every gateway tells what has changed of its programs, and from time to time all that it has. Each makes the whole plan (workingSet.ts)
// from its own programs and from what it has heard, and carries out what the plan says of its own. Gateways that know the same make
// the same plan. One that has not heard of a change yet makes another, until the word has come.
//
// A balancer may send one program's calls to several gateways. They know it by a hash of its name, so that it counts once. Of what they say
// of it the latest change holds: a gateway pauses its program when another one has, and lets it go on when it computes or goes on elsewhere.
import { programLiveMs, programsMax } from "../limits.ts";
import type { ProgramNews } from "../news.ts";
import { isLive, type Program } from "./program.ts";
import type { Member } from "./workingSet.ts";

/** A program as one gateway has told it. Times are of this gateway's clock. */
interface Word extends Member {
  state: ProgramNews["state"];
  /** When the program has begun or ended a call, or was paused or let go on. */
  changedMs: number;
  /** Until when it counts without another word. */
  liveUntilMs: number;
}

/** What other gateways are told of a program; `isKnown`: its run has not ended. */
export function newsOf(program: Program, isKnown: boolean, now: number): ProgramNews {
  const { calls, pausedMs, waitsSinceMs, contextTokens, tenant } = program;
  const state = !isKnown ? "ended" : calls > 0 ? "computes" : pausedMs === undefined ? "rests" : "paused";
  const busy = calls > 0 || program.waiting > 0 || program.tools > 0;
  return {
    program: program.key,
    tenant,
    tokens: isKnown && isLive(program, now) ? contextTokens : 0,
    state,
    ageMs: now - program.startedMs,
    changedMs: now - program.changedMs,
    leftMs: busy ? programLiveMs : Math.max(0, programLiveMs - (now - program.activeMs)),
    ...(pausedMs !== undefined && waitsSinceMs !== undefined && { waitedMs: now - waitsSinceMs }),
    ...(program.immuneUntilMs > now && { immuneMs: program.immuneUntilMs - now }),
  };
}

/** What an own program must do after another gateway's word of it. */
type Adopts = "pause" | "resume" | "forget" | undefined;

export class ProgramsElsewhere {
  /** By deployment and by program, what each gateway has told last. */
  readonly #told = new Map<string, Map<string, Map<string, Word>>>();
  #size = 0;

  /** A gateway's word of one program. `atMs`: when it was sent. Tokens that were not known of before at any gateway. */
  hear(gateway: string, deployment: string, news: ProgramNews, atMs: number): number {
    const { program, tokens } = news;
    const programs = this.#told.get(deployment) ?? new Map<string, Map<string, Word>>();
    const words = programs.get(program) ?? new Map<string, Word>();
    if (news.state === "ended") this.ended(deployment, program, atMs - news.changedMs);
    if (tokens === 0) {
      this.#drop(deployment, program, gateway);
      return 0;
    }
    if (!words.has(gateway)) {
      if (this.#size >= programsMax) return 0;
      this.#size++;
    }
    const isNew = words.size === 0 && news.state !== "paused";
    words.set(gateway, wordOf(news, atMs));
    programs.set(program, words);
    this.#told.set(deployment, programs);
    return isNew ? tokens : 0;
  }

  /** The run of the program that others name so has ended at some gateway: what they have told of it before is over. */
  ended(deployment: string, key: string, endedMs: number): void {
    for (const [gateway, { changedMs }] of this.#told.get(deployment)?.get(key) ?? [])
      if (changedMs <= endedMs) this.#drop(deployment, key, gateway);
  }

  /** What follows for this gateway's own program from another one's word of it: the latest change holds. */
  adopts(own: Program, news: ProgramNews, atMs: number, now: number): Adopts {
    if (own.calls > 0 || atMs - news.changedMs <= own.changedMs) return undefined;
    if (news.state === "ended") return own.waiting === 0 ? "forget" : undefined;
    // One that is no longer live here asks at the door with its next call.
    if (news.state === "paused") return own.pausedMs === undefined && isLive(own, now) ? "pause" : undefined;
    return own.pausedMs === undefined ? undefined : "resume";
  }

  /** Whether the program is alive at other gateways, and how: `running` holds KV, `paused` waits for room. */
  stateOf(deployment: string, key: string, now: number): "running" | "paused" | undefined {
    const words = this.#told.get(deployment)?.get(key);
    const word = words === undefined ? undefined : latestOf(words.values(), now);
    return word === undefined ? undefined : word.pausedMs === undefined ? "running" : "paused";
  }

  /** Deployments with programs that are alive elsewhere. */
  deployments(): Iterable<string> {
    return this.#told.keys();
  }

  /**
   * The live programs of all gateways: own ones with what others have said of them, then those that only others have. Words whose time is
   * over are forgotten.
   */
  withOthers(deployment: string, own: ReadonlyMap<string, Program>, now: number): Member[] {
    const told = this.#told.get(deployment);
    if (told === undefined) return [...own.values()];
    const members: Member[] = [];
    const ownKeys = new Set<string>();
    for (const program of own.values()) {
      ownKeys.add(program.key);
      const words = told.get(program.key);
      members.push(words === undefined ? program : withWords(program, words.values(), now));
    }
    for (const [key, words] of told) {
      for (const [gateway, { liveUntilMs }] of words) if (liveUntilMs <= now) this.#drop(deployment, key, gateway);
      const latest = ownKeys.has(key) ? undefined : latestOf(words.values(), now);
      if (latest !== undefined) members.push(latest);
    }
    return members;
  }

  #drop(deployment: string, key: string, gateway: string): void {
    const programs = this.#told.get(deployment);
    const words = programs?.get(key);
    if (words?.delete(gateway) !== true) return;
    this.#size--;
    if (words.size === 0) programs!.delete(key);
    if (programs!.size === 0) this.#told.delete(deployment);
  }
}

function wordOf(news: ProgramNews, atMs: number): Word {
  const { tenant, state } = news;
  return {
    // No program of this gateway has this name, and no plan is carried out under it.
    id: `elsewhere ${news.program}`,
    tenant,
    state,
    startedMs: atMs - news.ageMs,
    contextTokens: news.tokens,
    atBoundary: state !== "computes",
    pausedMs: state === "paused" ? atMs - news.changedMs : undefined,
    waitsSinceMs: news.waitedMs === undefined ? undefined : atMs - news.waitedMs,
    immuneUntilMs: atMs + (news.immuneMs ?? 0),
    changedMs: atMs - news.changedMs,
    liveUntilMs: atMs + news.leftMs,
  };
}

/** Of what gateways have told of one program, what holds: that it computes, or the latest change. */
function latestOf(words: Iterable<Word>, now: number): Word | undefined {
  let latest: Word | undefined;
  for (const word of words) {
    if (word.liveUntilMs <= now) continue;
    const computes = Number(word.state === "computes") - Number(latest?.state === "computes");
    if (latest === undefined || computes > 0 || (computes === 0 && word.changedMs > latest.changedMs)) latest = word;
  }
  return latest;
}

/** An own program with what others have told of it. */
function withWords(program: Program, words: Iterable<Word>, now: number): Member {
  let latestMs = program.changedMs;
  let { startedMs, contextTokens, atBoundary, waitsSinceMs, immuneUntilMs } = program;
  for (const word of words) {
    if (word.liveUntilMs <= now) continue;
    startedMs = Math.min(startedMs, word.startedMs);
    atBoundary &&= word.atBoundary;
    immuneUntilMs = Math.max(immuneUntilMs, word.immuneUntilMs);
    if (word.waitsSinceMs !== undefined) waitsSinceMs = Math.min(waitsSinceMs ?? word.waitsSinceMs, word.waitsSinceMs);
    if (word.changedMs > latestMs) {
      latestMs = word.changedMs;
      contextTokens = word.contextTokens;
    }
  }
  const { id, tenant, pausedMs } = program;
  return { id, tenant, startedMs, contextTokens, atBoundary, pausedMs, waitsSinceMs, immuneUntilMs };
}
