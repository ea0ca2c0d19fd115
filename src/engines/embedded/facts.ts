// Facts from the agent runtime. Each one is answered by a receipt of what was done:
//
//   run_ended     its sequences and files are dropped; shared prefixes stay
//   tool_started, tool_ended
//                 nothing: the scheduler, which sees all endpoints, decides about a waiting program's KV and sends hints
//                 (hints.ts)
//
// A sequence with a call under way is not touched; run_ended takes it when the call has ended.
import type { FactReceipt, RuntimeFact } from "../kv.ts";
import type { Kv } from "./kv.ts";

export class Facts {
  private readonly kv: Kv;

  constructor(kv: Kv) {
    this.kv = kv;
  }

  /** Called between two batches. */
  async apply(fact: RuntimeFact): Promise<FactReceipt> {
    switch (fact.type) {
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

  private async ended(fact: RuntimeFact): Promise<FactReceipt> {
    let tokens = 0;
    let later = false;
    for (const slot of this.kv.slots.filter((slot) => slot.owner?.program === fact.program)) {
      tokens += slot.tokens.length;
      if (slot.running) {
        slot.doomed = true;
        later = true;
      } else await this.kv.clear(slot);
    }
    tokens += await this.kv.store.dropProgram(fact.program);
    if (tokens === 0) return this.nothingHere(fact);
    return {
      ...receipt(fact),
      honoured: true,
      action: "dropped",
      tokens,
      ...(later && { reason: "a call is under way; its sequence goes when it ends" }),
    };
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
