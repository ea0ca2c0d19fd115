// What every endpoint bears, in tokens: counted by handles, never scraped.
//
// Placed calls open handles (handle.ts); a janitor closes handles without a change for too long. Peers' loads come as messages (see
// `carrier.ts`) and are added on top: what a policy sees is own plus peers'.
import { janitorEveryMs, loadHandleMaxAgeMs, peerNewsMs, peerSilentMs, tickMs, trafficMemoryMs } from "../limits.ts";
import type { LoadDelta, LoadMessage } from "../news.ts";
import type { EndpointLoad } from "../types.ts";
import { Activity, Echo } from "./echo.ts";
import { type Counts, type Entry, LoadHandle, MutableLoad, SeenLoad } from "./handle.ts";

/** Messages between two totals. A total replaces everything a peer knows, so a lost delta is wrong only for so long. */
const deltasPerTotal = 20;

/** Peers' placements are remembered for as long as a rule remembers its traffic. */
const placementsHalfLifeMs = trafficMemoryMs * Math.LN2;
/** A peer's placements at an endpoint are forgotten when this much of them is left: a single one after three minutes. */
const leastPlacements = 0.05;

interface Peer {
  sequence: number;
  heardAtMs: number;
  /** When its latest message was made, and how long that was under way. */
  toldAtMs: number;
  delayMs: number;
  /** False after a lost message, until a total comes. */
  whole: boolean;
  loads: Map<string, LoadDelta>;
  activity: Activity;
  /** Its placements by endpoint rank. */
  placed: Map<string, Activity>;
}

/** The load of every endpoint rank: own calls, counted by handles, plus what peers have reported. Tokens and calls; times in ms. */
export class LoadView {
  readonly gateway: string;
  private readonly entries = new Map<string, Entry>();
  private readonly peers = new Map<string, Peer>();
  private readonly handles = new Set<LoadHandle>();
  private readonly dirty: Entry[] = [];
  private readonly echo: Echo;
  /** Own placements of which peers do not know yet, the oldest first. */
  private readonly news: { load: SeenLoad; prefill: number; kv: number; at: number }[] = [];
  private readonly counts: Counts = {
    change: (entry, prefill, kv, inFlight, prefilling) => this.change(entry, prefill, kv, inFlight, prefilling),
    stand: (entry, handle, tokens, now) => this.stand(entry, handle, tokens, now),
    closed: (handle) => this.handles.delete(handle),
  };
  private sequence = 0;
  private sweptMs = Number.NEGATIVE_INFINITY;
  /** The latest time that a caller has passed in. */
  private lastMs = 0;
  /** When the latest message was made or taken. */
  private heardMs = 0;

  /** `newsMs`: how long peers' messages take to arrive. */
  constructor(gateway: string, newsMs: number = peerNewsMs) {
    this.gateway = gateway;
    this.echo = new Echo(newsMs);
  }

  /** Handles that are open. */
  get openHandles(): number {
    return this.handles.size;
  }

  get peerCount(): number {
    return this.peers.size;
  }

  /**
   * How old what is known of peers is, on average over them; 0 without peers. A gateway tells its changes at its next tick. So one that is
   * silent for longer has placed nothing before that. Peers know of own placements after as long a time: those are new no more.
   */
  peersAgeMs(now: number): number {
    let sum = 0;
    for (const { toldAtMs, delayMs } of this.peers.values()) sum += Math.min(now - toldAtMs, delayMs + tickMs);
    const ageMs = sum / Math.max(1, this.peers.size);
    this.forgetNews(now, ageMs);
    return ageMs;
  }

  /** Own placements that are older than this are new to no peer. */
  private forgetNews(now: number, ageMs: number): void {
    let known = 0;
    while (known < this.news.length && this.news[known]!.at <= now - ageMs) {
      const { load, prefill, kv } = this.news[known++]!;
      load.newCalls--;
      load.newPrefill -= prefill;
      load.newKv -= kv;
    }
    this.news.splice(0, known);
  }

  private place(load: SeenLoad, prefill: number, kv: number, at: number): void {
    this.news.push({ load, prefill, kv, at });
    load.newCalls++;
    load.newPrefill += prefill;
    load.newKv += kv;
  }

  /** Whether a peer has calls at the endpoint rank, or had in the last minutes. */
  isShared(endpoint: string, rank: number): boolean {
    const key = keyOf(endpoint, rank);
    for (const { placed, loads } of this.peers.values()) {
      if (placed.has(key) || (loads.get(key)?.inFlight ?? 0) > 0) return true;
    }
    return false;
  }

  /** The live load of an endpoint rank: one object for its life, changed in place. */
  of(endpoint: string, rank: number): Readonly<EndpointLoad> {
    return this.entry(endpoint, rank).seen;
  }

  /**
   * Counts a call at an endpoint until the handle is closed. `alike`: load alone decided for this endpoint, so peers that
   * see the same loads are probably sending there too.
   */
  open(
    endpoint: string,
    rank: number,
    prefillTokens: number,
    kvTokens: number,
    now: number,
    alike = false,
  ): LoadHandle {
    const entry = this.entry(endpoint, rank);
    this.echo.placed();
    if (alike && this.peers.size > 0) this.echo.guess(entry.seen, prefillTokens, kvTokens, this.activities(), now);
    if (this.peers.size > 0) this.place(entry.seen, prefillTokens, kvTokens, now);
    entry.untoldPlaced++;
    entry.untoldPlacedTokens += prefillTokens;
    const handle = new LoadHandle(this.counts, entry, prefillTokens, kvTokens, now);
    this.handles.add(handle);
    this.stand(entry, handle, prefillTokens, now);
    return handle;
  }

  private change(entry: Entry, prefill: number, kv: number, inFlight: number, prefilling: number): void {
    add(entry.own, prefill, kv, inFlight, prefilling);
    add(entry.seen, prefill, kv, inFlight, prefilling);
    add(entry.untold, prefill, kv, inFlight, prefilling);
    if (entry.dirty) return;
    entry.dirty = true;
    this.dirty.push(entry);
  }

  /** Puts a handle at the end of its endpoint's prefill line, or takes it out; when one has gone, the next prompt has its turn from now on. */
  private stand(entry: Entry, handle: LoadHandle, tokens: number, now?: number): void {
    if (now !== undefined) this.lastMs = Math.max(this.lastMs, now);
    const { line } = entry;
    const at = line.indexOf(handle);
    if (at >= 0) line.splice(at, 1);
    if (tokens > 0) line.push(handle);
    // A call that is given up while others are computed before it ends no turn.
    this.turn(entry, at === 0 || (at > 0 && entry.seen.prefilling > entry.own.prefilling), this.lastMs);
  }

  /**
   * Says what prompt an endpoint computes now, and since when. Prompts are computed one after another, whichever gateway has placed them. So
   * the turn of one begins when another is done, here or at a peer, or when none was before. Of a peer's calls only sums are
   * known: while it has some there, the mean of all stands for the prompt whose turn it is.
   */
  private turn({ own, seen, line }: Entry, done: boolean, now: number): void {
    const others = seen.prefilling - own.prefilling > 0;
    seen.headTokens = others ? Math.max(0, seen.prefillTokens / seen.prefilling) : line[0]?.prefillTokens;
    if (seen.headTokens === undefined) seen.headSinceMs = undefined;
    else if (done || seen.headSinceMs === undefined) seen.headSinceMs = now;
  }

  private *activities(): Iterable<Activity> {
    for (const peer of this.peers.values()) yield peer.activity;
  }

  /** Closes handles without a sign of life and forgets silent peers; answers how many handles it closed. */
  janitor(now: number, maxAgeMs: number = loadHandleMaxAgeMs): number {
    let closed = 0;
    this.echo.turn(now);
    if (now - this.sweptMs >= janitorEveryMs) {
      this.sweptMs = now;
      for (const handle of this.handles) {
        if (now - handle.touchedAtMs <= maxAgeMs) continue;
        handle.close();
        closed++;
      }
    }
    for (const [gateway, peer] of this.peers) if (now - peer.heardAtMs > peerSilentMs) this.forgetPeer(gateway);
    this.peersAgeMs(now);
    return closed;
  }

  /** Changes since the last message, for peers; undefined when there are none. `alive`: a message even without changes. */
  message(now: number, alive = false): LoadMessage | undefined {
    if (this.dirty.length === 0 && !alive) return undefined;
    this.echo.told(now);
    this.heardMs = now;
    const sequence = this.sequence++;
    const total = sequence % deltasPerTotal === 0;
    const told = total ? [...this.entries.values()] : this.dirty;
    const deltas: LoadDelta[] = [];
    for (const { endpoint, rank, own, untold, untoldPlaced, untoldPlacedTokens } of told) {
      const load = total ? own : untold;
      const says = load.inFlight !== 0 || load.kvTokens !== 0 || load.prefillTokens !== 0 || untoldPlaced > 0;
      if (!says) continue;
      const placed = untoldPlaced > 0 && { placed: untoldPlaced, placedTokens: untoldPlacedTokens };
      deltas.push({ endpoint, rank, ...load, ...placed });
    }
    for (const entry of this.dirty) {
      entry.untoldPlaced = 0;
      entry.untoldPlacedTokens = 0;
      entry.untold = new MutableLoad();
      entry.dirty = false;
    }
    this.dirty.length = 0;
    return { gateway: this.gateway, sequence, kind: total ? "total" : "delta", atMs: now, deltas };
  }

  /** Takes a peer's message. Own messages that come back are ignored; after a lost one, deltas wait for a total. */
  receive(message: LoadMessage, now: number): void {
    if (message.gateway === this.gateway) return;
    const peer: Peer = this.peers.get(message.gateway) ?? {
      sequence: -1,
      heardAtMs: now,
      toldAtMs: now,
      delayMs: 0,
      whole: false,
      loads: new Map(),
      activity: new Activity(),
      placed: new Map(),
    };
    this.peers.set(message.gateway, peer);
    peer.heardAtMs = now;
    peer.toldAtMs = Math.min(message.atMs, now);
    peer.delayMs = now - peer.toldAtMs;
    this.heardMs = now;
    let before: ReadonlyMap<string, LoadDelta> = peer.loads;
    if (message.kind === "total") {
      // An older total than what is known: it was overtaken, unless the peer started again.
      if (message.sequence <= peer.sequence && message.sequence !== 0) return;
      before = this.dropLoads(peer);
      for (const [key, placed] of peer.placed) if (placed.at(now) < leastPlacements) peer.placed.delete(key);
      peer.whole = true;
    } else {
      if (message.sequence <= peer.sequence) return;
      if (message.sequence !== peer.sequence + 1) peer.whole = false;
    }
    peer.sequence = message.sequence;
    if (!peer.whole) return;
    for (const delta of message.deltas) this.addPeer(peer, delta, message, before);
    // A total does not name endpoints where the peer has nothing any more.
    for (const [key, { prefilling }] of before) {
      const entry = peer.loads.has(key) ? undefined : this.entries.get(key);
      if (entry !== undefined) this.turn(entry, prefilling > 0, now);
    }
  }

  forgetPeer(gateway: string): void {
    const peer = this.peers.get(gateway);
    if (peer === undefined) return;
    this.dropLoads(peer);
    this.peers.delete(gateway);
  }

  /** `before`: what the peer had before the message. */
  private addPeer(peer: Peer, delta: LoadDelta, message: LoadMessage, before: ReadonlyMap<string, LoadDelta>): void {
    const key = keyOf(delta.endpoint, delta.rank);
    // First: an entry that is made now takes in what peers are known to have there.
    const entry = this.entry(delta.endpoint, delta.rank);
    const { seen } = entry;
    const prefillingBefore = before.get(key)?.prefilling ?? 0;
    const known = peer.loads.get(key);
    if (message.kind === "delta" && delta.inFlight > 0) peer.activity.add(delta.inFlight, message.atMs);
    if (delta.placed !== undefined) {
      const placed = peer.placed.get(key) ?? new Activity(placementsHalfLifeMs);
      placed.add(delta.placed, this.heardMs);
      peer.placed.set(key, placed);
      seen.peersPlaced += delta.placed;
      seen.peersPlacedTokens += delta.placedTokens ?? 0;
    }
    const { endpoint, rank } = delta;
    const sum = known ?? { endpoint, rank, prefillTokens: 0, kvTokens: 0, inFlight: 0, prefilling: 0 };
    for (const load of [sum, seen]) add(load, delta.prefillTokens, delta.kvTokens, delta.inFlight, delta.prefilling);
    peer.loads.set(key, sum);
    seen.peersInFlight += delta.inFlight;
    seen.peersPrefill += delta.prefillTokens;
    this.turn(entry, prefillingBefore + (delta.placed ?? 0) > sum.prefilling, this.heardMs);
  }

  /** Takes back what the peer has told, and answers it. */
  private dropLoads(peer: Peer): ReadonlyMap<string, LoadDelta> {
    const { loads } = peer;
    for (const load of loads.values()) {
      const seen = this.entry(load.endpoint, load.rank).seen;
      add(seen, -load.prefillTokens, -load.kvTokens, -load.inFlight, -load.prefilling);
      seen.peersInFlight -= load.inFlight;
      seen.peersPrefill -= load.prefillTokens;
    }
    peer.loads = new Map();
    return loads;
  }

  private entry(endpoint: string, rank: number): Entry {
    const key = keyOf(endpoint, rank);
    let entry = this.entries.get(key);
    if (entry === undefined) {
      const [own, seen, untold] = [new MutableLoad(), new SeenLoad(), new MutableLoad()];
      entry = { endpoint, rank, own, seen, line: [], untold, untoldPlaced: 0, untoldPlacedTokens: 0, dirty: false };
      for (const { loads } of this.peers.values()) {
        const load = loads.get(key);
        if (load === undefined) continue;
        add(seen, load.prefillTokens, load.kvTokens, load.inFlight, load.prefilling);
        seen.peersInFlight += load.inFlight;
        seen.peersPrefill += load.prefillTokens;
      }
      this.entries.set(key, entry);
    }
    return entry;
  }

  /** Forgets an endpoint that has left; its open handles may still close. */
  leave(endpoint: string, rank: number): void {
    for (const { placed } of this.peers.values()) placed.delete(keyOf(endpoint, rank));
    const entry = this.entries.get(keyOf(endpoint, rank));
    if (entry !== undefined && entry.own.inFlight === 0) this.entries.delete(keyOf(endpoint, rank));
  }
}

function keyOf(endpoint: string, rank: number): string {
  return `${rank} ${endpoint}`;
}

function add(load: EndpointLoad, prefill: number, kv: number, inFlight: number, prefilling: number): void {
  load.prefillTokens += prefill;
  load.kvTokens += kv;
  load.inFlight += inFlight;
  load.prefilling += prefilling;
}
