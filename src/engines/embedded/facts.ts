// Facts from the agent runtime. Each one is answered by a receipt of what was done:
//
//   program remembered: the parent of the program
//   run_ended     its sequences and files are dropped, with those of the programs below it; shared prefixes stay
//   tool_started, tool_ended
//                 nothing: the scheduler, which sees all endpoints, decides about a waiting program's KV and sends hints
//                 (hints.ts)
//
// A sequence with a call under way is not touched; run_ended takes it when the call has ended.
import { LRUCache } from "lru-cache";
import type { FactReceipt, RuntimeFact } from "../kv.ts";
import type { Kv } from "./kv.ts";
import { programsRemembered } from "./limits.ts";

export class Facts {
  private readonly kv: Kv;
  /** Program to its parent. */
  private readonly parents = new LRUCache<string, { parent: string | undefined }>({ max: programsRemembered });

  constructor(kv: Kv) {
    this.kv = kv;
  }

  /** Called between two batches. */
  async apply(fact: RuntimeFact): Promise<FactReceipt> {
    switch (fact.type) {
      case "program":
        return this.program(fact);
      case "tool_started":
      case "tool_ended":
        return {
          ...receipt(fact),
          honoured: false,
          action: "none",
          reason: "the scheduler decides, and says so by hints",
        };
      case "run_ended":
        return this.ended(fact);
    }
  }

  private program(fact: Extract<RuntimeFact, { type: "program" }>): FactReceipt {
    this.parents.set(fact.program, { parent: fact.parent });
    return { ...receipt(fact), honoured: true, action: "none", reason: "remembered" };
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
      for (const [program, { parent }] of this.parents.entries())
        if (parent === at && !tree.includes(program)) tree.push(program);
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
