// Carries out the scheduler's hints about an idle program's KV. Each hint is answered by a receipt of what was done.
//
//   keep its sequences are taken last
//   demote    they are saved to disk now and are the first to be taken
//   prefetch  kept if they are still here, else brought back over the sequence that a call would take; what that one held is
//             saved, and no sequence that is to be kept is taken
//   drop      they are released; files stay, because other workers may use them
//   share     they are saved to disk as they are, those with a call under way too, and nothing else changes
//
// A sequence with a call under way is read by `share` and touched by nothing else. One hint is carried out between two
// batches, so that many of them do not stop a stream; its receipt waits until other processes can load what was saved.
import type { KvHint, KvReceipt } from "../kv.ts";
import type { Kv, Slot } from "./kv.ts";
import { parkMinTokens } from "./limits.ts";

/** The receipt, and the states whose files must be complete before it is sent. */
interface Done {
  honoured: boolean;
  tokens: number;
  reason?: string;
  states?: string[];
}

export class Hints {
  private readonly kv: Kv;
  private readonly between: <T>(chore: () => Promise<T>) => Promise<T>;

  constructor(kv: Kv, between: <T>(chore: () => Promise<T>) => Promise<T>) {
    this.kv = kv;
    this.between = between;
  }

  async carryOut(hint: KvHint): Promise<KvReceipt> {
    const { states = [], ...done } = await this.between(() => this.act(hint));
    const kept = await Promise.all(states.map((id) => this.kv.store.published(id)));
    if (kept.includes(false)) return { ...hint, honoured: false, tokens: 0, reason: "its file could not be written" };
    return { ...hint, ...done };
  }

  private act({ verb, program }: KvHint): Promise<Done> {
    switch (verb) {
      case "keep":
        return this.keep(program);
      case "demote":
        return this.demote(program);
      case "prefetch":
        return this.prefetch(program);
      case "drop":
        return this.drop(program);
      case "share":
        return this.share(program);
    }
  }

  private async keep(program: string): Promise<Done> {
    const idle = this.kv.idleOf(program);
    if (idle.length === 0) {
      const file = this.kv.store.ofProgram(program)[0];
      return file ? refused("it lies on disk alone; `prefetch` brings it back") : this.nothingHere(program);
    }
    for (const slot of idle) slot.outlook = "soon";
    return { honoured: true, tokens: sum(idle) };
  }

  private async demote(program: string): Promise<Done> {
    const idle = this.kv.idleOf(program);
    if (idle.length === 0) return this.onDisk(program);
    const { saved, states } = await this.save(idle);
    for (const slot of saved) slot.outlook = "away";
    return saved.length > 0 ? { honoured: true, tokens: sum(saved), states } : refused(notSaved);
  }

  private async share(program: string): Promise<Done> {
    const slots = this.kv.slotsOf(program).filter((slot) => !slot.doomed);
    if (slots.length === 0) return this.onDisk(program);
    const { saved, states } = await this.save(slots);
    return saved.length > 0 ? { honoured: true, tokens: sum(saved), states } : refused(notSaved);
  }

  private async prefetch(program: string): Promise<Done> {
    const { kv } = this;
    const idle = kv.idleOf(program);
    if (idle.length > 0) {
      for (const slot of idle) slot.outlook = "soon";
      return { honoured: true, tokens: sum(idle), reason: "it is on the device" };
    }
    const file = kv.store.ofProgram(program)[0];
    if (!file) return this.nothingHere(program);
    const rank = (slot: Slot) => (slot.tokens.length === 0 ? 0 : slot.outlook === "away" ? 1 : 2);
    const slot = kv.slots
      .filter((slot) => !slot.running && (slot.tokens.length === 0 || slot.outlook !== "soon"))
      .toSorted((a, b) => rank(a) - rank(b) || a.lastUsed - b.lastUsed)[0];
    if (!slot) return refused("every sequence is wanted as much; its file waits on disk");
    // Making room may evict files from the budget; the file to be loaded is exempt.
    kv.store.touch(file);
    const worthKeeping = slot.tokens.length >= parkMinTokens && !kv.isSaved(slot);
    if (worthKeeping && !(await kv.park(slot))) return refused("what it would displace cannot be saved");
    const owner = { cacheSalt: file.cacheSalt, project: file.projects[0]!, program };
    if (!(await kv.restore(slot, file, owner))) return refused("its file is damaged");
    slot.outlook = "soon";
    return { honoured: true, tokens: slot.tokens.length };
  }

  private async drop(program: string): Promise<Done> {
    const idle = this.kv.idleOf(program);
    if (idle.length === 0) return this.nothingHere(program);
    const tokens = sum(idle);
    for (const slot of idle) await this.kv.clear(slot);
    return { honoured: true, tokens };
  }

  /** Saves the sequences that can be saved. Returns the saved sequences and the names of their files. */
  private async save(slots: Slot[]): Promise<{ saved: Slot[]; states: string[] }> {
    const saved: Slot[] = [];
    const states: string[] = [];
    for (const slot of slots) {
      const file = await this.kv.park(slot);
      if (!file) continue;
      saved.push(slot);
      states.push(file.id);
    }
    return { saved, states };
  }

  /** No sequence of the program can be saved; its state may be on disk already. */
  private onDisk(program: string): Done {
    const file = this.kv.store.ofProgram(program)[0];
    if (!file) return this.nothingHere(program);
    return { honoured: true, tokens: file.tokens.length, reason: "it lay on disk already", states: [file.id] };
  }

  private nothingHere(program: string): Done {
    const running = this.kv.slots.some((slot) => slot.running && slot.owner?.program === program);
    return refused(running ? "a call of this program is under way" : "nothing of this program is kept here");
  }
}

const notSaved = "too short for a file, or no room on disk";

function refused(reason: string): Done {
  return { honoured: false, tokens: 0, reason };
}

function sum(slots: { tokens: number[] }[]): number {
  return slots.reduce((total, slot) => total + slot.tokens.length, 0);
}
