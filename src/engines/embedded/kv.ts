// The sequences of the device, what each holds and for which owner, and the moves between device and disk.
// Every change of what is stored in which tier goes through here, so that the block ledger and the counters cannot miss one.
// All methods that touch the device are called by the loop alone, between batches (engine.ts).
import type { BlockLedger } from "./blocks.ts";
import type { Device } from "./device.ts";
import type { KvFile } from "./kvIndex.ts";
import type { KvStore, StateOwner } from "./kvStore.ts";
import { readLease } from "./leases.ts";
import { lend } from "./lending.ts";
import { parkMinTokens } from "./limits.ts";
import { blockTokens } from "./protocol.ts";
import { ReloadPace } from "./reload.ts";
import type { SequenceView } from "./sequences.ts";

export interface Slot {
  readonly id: number;
  tokens: number[];
  owner: StateOwner | undefined;
  /** The whole prompt of the call that is in prefill here. */
  prefilling: readonly number[] | undefined;
  running: boolean;
  /** State file with exactly these tokens. */
  savedAs: string | undefined;
  outlook: "away" | "soon" | undefined;
  /** The run has ended or the project was erased during a call: the state is removed when the call ends. */
  doomed: boolean;
  /** Order of use, and the clock of it. */
  lastUsed: number;
  lastUsedMs: number;
}

interface KvTotals {
  parks: number;
  restores: number;
  /** States kept for other workers. */
  lends: number;
}

export class Kv {
  readonly device: Device;
  readonly store: KvStore;
  readonly slots: Slot[];
  readonly totals: KvTotals = { parks: 0, restores: 0, lends: 0 };
  readonly reload = new ReloadPace();
  private readonly ledger: BlockLedger;
  private readonly now: () => number;
  private readonly log: (message: string, detail: Record<string, unknown>) => void;
  private uses = 0;

  constructor(parts: {
    device: Device;
    store: KvStore;
    ledger: BlockLedger;
    now: () => number;
    log: (message: string, detail: Record<string, unknown>) => void;
  }) {
    this.device = parts.device;
    this.store = parts.store;
    this.ledger = parts.ledger;
    this.now = parts.now;
    this.log = parts.log;
    this.slots = Array.from({ length: parts.device.slots }, (_, id) => ({
      id,
      tokens: [],
      owner: undefined,
      prefilling: undefined,
      running: false,
      savedAs: undefined,
      outlook: undefined,
      doomed: false,
      lastUsed: 0,
      lastUsedMs: parts.now(),
    }));
  }

  /** The sequences in the planner's form. */
  views(): SequenceView[] {
    return this.slots.map((slot) => ({
      id: slot.id,
      state: slot.running ? "running" : slot.tokens.length === 0 ? "free" : "idle",
      // The state of an erased project or an ended run serves no further call, even while its last call still runs.
      cacheSalt: slot.doomed ? erased : (slot.owner?.cacheSalt ?? ""),
      program: slot.owner?.program,
      tokens: slot.tokens,
      prefilling: slot.prefilling,
      saved: this.isSaved(slot),
      outlook: slot.outlook,
      lastUsed: slot.lastUsed,
    }));
  }

  isSaved(slot: Slot): boolean {
    return slot.savedAs !== undefined && this.store.keeps(slot.savedAs);
  }

  /** Sequences that hold tokens of a run, running or idle. */
  slotsOf(program: string): Slot[] {
    return this.slots.filter((slot) => slot.tokens.length > 0 && slot.owner?.program === program);
  }

  /** Idle sequences of a run. */
  idleOf(program: string): Slot[] {
    return this.slotsOf(program).filter((slot) => !slot.running);
  }

  /** Saves the slot's tokens to a file; the slot keeps them too. Undefined when they could not be saved. */
  async park(slot: Slot): Promise<KvFile | undefined> {
    if (!slot.owner || slot.tokens.length < parkMinTokens) return undefined;
    const fresh = !this.isSaved(slot);
    const file = await this.store.save(slot.owner, slot.tokens, false, (path) => this.device.save(slot.id, path));
    slot.savedAs = file?.id;
    if (file && fresh) this.totals.parks++;
    if (!file) this.log("a sequence could not be parked", { sequence: slot.id, tokens: slot.tokens.length });
    return file;
  }

  /**
   * Saves the slot's tokens for another worker to load; the slot keeps them too. Returns the lease, or undefined when they could not be
   * saved.
   */
  async lend(slot: Slot): Promise<string | undefined> {
    if (!slot.owner || slot.doomed || slot.tokens.length === 0) return undefined;
    const lease = await lend(this.store, slot.owner, slot.tokens, (path) => this.device.save(slot.id, path));
    slot.savedAs = lease && readLease(lease)!.id;
    if (lease !== undefined) this.totals.lends++;
    else this.log("a state for another worker could not be kept", { sequence: slot.id, tokens: slot.tokens.length });
    return lease;
  }

  /** Saves the slot's tokens as a prefix that conversations share. */
  async share(slot: Slot): Promise<void> {
    if (!slot.owner) return;
    const file = await this.store.save(slot.owner, slot.tokens, true, (path) => this.device.save(slot.id, path));
    slot.savedAs = file?.id;
  }

  /** Loads a file into the slot and replaces its tokens. Returns false, with the slot empty, if the file cannot be used. */
  async restore(slot: Slot, file: KvFile, owner: StateOwner): Promise<boolean> {
    this.release(slot);
    const begun = this.now();
    const loaded = await this.store.load(file.id, (path) => this.device.load(slot.id, path));
    if (!loaded) {
      await this.clear(slot);
      return false;
    }
    this.reload.note(file.tokens.length, this.now() - begun);
    this.totals.restores++;
    slot.tokens = [...file.tokens];
    slot.owner = owner;
    slot.savedAs = file.id;
    this.used(slot);
    this.tell(slot);
    return true;
  }

  /** Keeps the first `tokens` tokens. */
  async cut(slot: Slot, tokens: number): Promise<void> {
    if (slot.tokens.length <= tokens) return;
    await this.device.truncate(slot.id, tokens);
    slot.tokens.length = tokens;
    slot.savedAs = undefined;
    this.tell(slot);
  }

  /** Records that the device has computed these tokens behind the slot's earlier ones. */
  grew(slot: Slot, tokens: readonly number[]): void {
    const blocks = Math.floor(slot.tokens.length / blockTokens);
    for (const token of tokens) slot.tokens.push(token);
    slot.savedAs = undefined;
    if (Math.floor(slot.tokens.length / blockTokens) > blocks) this.tell(slot);
  }

  async clear(slot: Slot): Promise<void> {
    await this.device.truncate(slot.id, 0);
    this.release(slot);
  }

  /** Marks a use: least recently used goes first. */
  used(slot: Slot): void {
    slot.lastUsed = ++this.uses;
    slot.lastUsedMs = this.now();
  }

  /** Erases the project's files and idle sequences at once, and its running sequences when their calls end. */
  async eraseProject(project: string): Promise<{ files: number; bytes: number; sequences: number }> {
    let sequences = 0;
    for (const slot of this.slots) {
      if (slot.owner?.project !== project) continue;
      sequences++;
      if (slot.running) slot.doomed = true;
      else await this.clear(slot);
    }
    const files = await this.store.eraseProject(project);
    // The log of events still holds the erased tokens, so it is replaced.
    this.ledger.restate();
    return { ...files, sequences };
  }

  private release(slot: Slot): void {
    slot.tokens = [];
    slot.owner = undefined;
    slot.savedAs = undefined;
    slot.outlook = undefined;
    slot.doomed = false;
    this.ledger.forget(holderOf(slot));
  }

  private tell(slot: Slot): void {
    this.ledger.set(holderOf(slot), "device", slot.owner?.cacheSalt ?? "", slot.tokens);
  }
}

/** The cache salt of a state that is to be erased; no call has this salt. */
const erased = "\0erased";

function holderOf(slot: Slot): string {
  return `sequence-${slot.id}`;
}
