// What the agent runtime tells, and what the worker does about it: each fact gets an honest receipt.
//
//   tool_started  slow or approval: the program's idle sequences are saved to disk now and are the first to be taken;
//                 quick (or no kind): they are kept, and are the last to be taken
//   tool_ended    kept if they are still here, else brought back into a sequence that is free or saved already
//   run_ended     its sequences and files are dropped, with those of the programs below it; shared prefixes stay
//   program       remembered: which programs end with which
//
// A sequence with a call under way is not touched; run_ended takes it when the call has ended.
import type { FactReceipt, RuntimeFact } from "../types.ts";
import type { Kv } from "./kv.ts";
import { programsRemembered } from "./limits.ts";

export class Facts {
  private readonly kv: Kv;
  /** Program to its parent. */
  private readonly parents = new Map<string, string | undefined>();

  constructor(kv: Kv) {
    this.kv = kv;
  }

  /** Called between two batches. */
  async apply(fact: RuntimeFact): Promise<FactReceipt> {
    switch (fact.type) {
      case "program":
        return this.program(fact);
      case "tool_started":
        return fact.kind === "slow" || fact.kind === "approval" ? this.away(fact) : this.soon(fact);
      case "tool_ended":
        return this.back(fact);
      case "run_ended":
        return this.ended(fact);
    }
  }

  private program(fact: Extract<RuntimeFact, { type: "program" }>): FactReceipt {
    this.parents.delete(fact.program);
    if (this.parents.size >= programsRemembered) this.parents.delete(this.parents.keys().next().value!);
    this.parents.set(fact.program, fact.parent);
    return { ...receipt(fact), honoured: true, action: "none", reason: "remembered" };
  }

  private async away(fact: RuntimeFact): Promise<FactReceipt> {
    const idle = this.kv.idleOf(fact.program);
    if (idle.length === 0) return this.nothingHere(fact);
    let tokens = 0;
    for (const slot of idle) {
      if (!(await this.kv.park(slot))) continue;
      slot.outlook = "away";
      tokens += slot.tokens.length;
    }
    if (tokens > 0) return { ...receipt(fact), honoured: true, action: "parked", tokens };
    return {
      ...receipt(fact),
      honoured: false,
      action: "kept",
      tokens: sum(idle),
      reason: "too short for a file, or no room on disk",
    };
  }

  private soon(fact: RuntimeFact): FactReceipt {
    const idle = this.kv.idleOf(fact.program);
    if (idle.length === 0) return this.nothingHere(fact);
    for (const slot of idle) slot.outlook = "soon";
    return { ...receipt(fact), honoured: true, action: "kept", tokens: sum(idle) };
  }

  private async back(fact: RuntimeFact): Promise<FactReceipt> {
    const idle = this.kv.idleOf(fact.program);
    if (idle.length > 0) {
      for (const slot of idle) slot.outlook = "soon";
      return { ...receipt(fact), honoured: true, action: "kept", tokens: sum(idle) };
    }
    const file = this.kv.store.ofProgram(fact.program)[0];
    if (!file) return this.nothingHere(fact);
    const slot = this.kv.slots
      .filter(
        (slot) => !slot.running && (slot.tokens.length === 0 || (this.kv.isSaved(slot) && slot.outlook !== "soon")),
      )
      .toSorted((a, b) => a.lastUsed - b.lastUsed)[0];
    if (!slot) {
      return {
        ...receipt(fact),
        honoured: false,
        action: "none",
        tokens: file.tokens.length,
        reason: "no sequence is free; its file waits on disk",
      };
    }
    const owner = { organisation: file.organisation, project: file.projects[0]!, program: fact.program };
    if (!(await this.kv.restore(slot, file, owner)))
      return { ...receipt(fact), honoured: false, action: "none", reason: "its file is damaged" };
    slot.outlook = "soon";
    return { ...receipt(fact), honoured: true, action: "restored", tokens: slot.tokens.length };
  }

  private async ended(fact: RuntimeFact): Promise<FactReceipt> {
    let tokens = 0;
    let later = false;
    for (const program of this.tree(fact.program)) {
      for (const slot of this.kv.slots.filter((slot) => slot.owner?.program === program)) {
        tokens += slot.tokens.length;
        if (slot.running) {
          slot.doomed = true;
          later = true;
        } else await this.kv.clear(slot);
      }
      tokens += await this.kv.store.dropProgram(program);
      this.parents.delete(program);
    }
    if (tokens === 0) return this.nothingHere(fact);
    return {
      ...receipt(fact),
      honoured: true,
      action: "dropped",
      tokens,
      ...(later && { reason: "a call is under way; its sequence goes when it ends" }),
    };
  }

  /** The program and all below it. */
  private tree(root: string): string[] {
    const tree = [root];
    for (const at of tree)
      for (const [program, parent] of this.parents) if (parent === at && !tree.includes(program)) tree.push(program);
    return tree;
  }

  private nothingHere(fact: RuntimeFact): FactReceipt {
    const running = this.kv.slots.some((slot) => slot.running && slot.owner?.program === fact.program);
    const reason = running ? "a call of this program is under way" : "nothing of this program is kept here";
    return { ...receipt(fact), honoured: false, action: "none", reason };
  }
}

function receipt(fact: RuntimeFact): { fact: RuntimeFact["type"]; program: string } {
  return { fact: fact.type, program: fact.program };
}

function sum(slots: { tokens: number[] }[]): number {
  return slots.reduce((total, slot) => total + slot.tokens.length, 0);
}
