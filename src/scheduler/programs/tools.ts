// Programs that wait for tools: how long their waits last is learned (waits.ts), and their KV is kept on the device, or demoted and brought
// back before the next call comes (toolWindow.ts).
import type { SchedulerAction } from "../actions.ts";
import { type Program, type Residence, slower, type WaitKind } from "./program.ts";
import { expectedWaitMs, planTool, type ToolKind } from "./toolWindow.ts";
import { OwnWaits, Waits } from "./waits.ts";

export class Tools {
  readonly #residence: Residence;
  /** Programs in a tool call with a question left to ask. */
  readonly #asking = new Set<Program>();
  readonly #waits: Record<WaitKind, Waits> = {
    quick: new Waits(expectedWaitMs.quick),
    unknown: new Waits(expectedWaitMs.unknown),
    slow: new Waits(expectedWaitMs.slow),
    approval: new Waits(expectedWaitMs.approval),
  };

  constructor(residence: Residence) {
    this.#residence = residence;
  }

  /** A tool of the program has started, perhaps beside others. */
  started(program: Program, kind: ToolKind | undefined, now: number, actions: SchedulerAction[]): void {
    program.tools++;
    program.kind = program.tools > 1 ? slower(program.kind, kind) : kind;
    if (program.tools === 1) program.toolSinceMs = now;
    this.#wait(program);
    this.#ask(program, now, actions, true);
  }

  /** One of the program's tools has ended. After the last one the wait is over, and what was demoted is brought back. */
  ended(program: Program, now: number, actions: SchedulerAction[]): void {
    program.tools--;
    if (program.tools > 0) return;
    const { kind, open } = program.wait!;
    this.#waits[kind].ended(open, now, 1, this.#waitsOf(program, kind));
    program.wait = undefined;
    this.#asking.delete(program);
    const { at, tier } = program;
    if (at === undefined || tier === "device" || program.pausedMs !== undefined) return;
    actions.push({
      type: "kv",
      verb: "prefetch",
      program: program.id,
      endpoint: at.spec.id,
      tokens: program.contextTokens,
      tier,
      reason: "its tool's result has arrived",
    });
    this.#residence.move(program, at, "device", program.contextTokens);
  }

  tick(now: number, actions: SchedulerAction[]): void {
    for (const waits of Object.values(this.#waits)) waits.advance(now);
    for (const program of this.#asking) if (program.askAgainMs <= now) this.#ask(program, now, actions, false);
  }

  /** How the program's wait ends will not be seen. */
  left(program: Program): void {
    this.#asking.delete(program);
    if (program.wait !== undefined) this.#waits[program.wait.kind].left(program.wait.open);
    program.wait = undefined;
  }

  /** The program waits for its tools from the start of the first on; a slower tool beside it makes it a wait of the slower kind. */
  #wait(program: Program): void {
    const kind = program.kind ?? "unknown";
    if (program.wait?.kind === kind) return;
    this.left(program);
    program.wait = { kind, open: this.#waits[kind].began(program.toolSinceMs) };
  }

  /** The program's own waits of a kind, beside the waits of all programs. */
  #waitsOf(program: Program, kind: WaitKind): OwnWaits {
    const own = program.waits.get(kind) ?? new OwnWaits(this.#waits[kind]);
    program.waits.set(kind, own);
    return own;
  }

  /** Decides where the KV lies while tools run. `first`: the answer is recorded even when it is to keep. */
  #ask(program: Program, now: number, actions: SchedulerAction[], first: boolean): void {
    const { at } = program;
    this.#asking.delete(program);
    if (at === undefined || program.tier !== "device" || program.calls > 0 || program.contextTokens === 0) return;
    const fill = this.#residence.fillOf(at);
    const elapsedMs = now - program.toolSinceMs;
    const msPerReturn = this.#waitsOf(program, program.wait!.kind).msPerReturn(elapsedMs);
    const plan = planTool({
      tokens: program.contextTokens,
      spec: at.spec,
      fill,
      elapsedMs,
      msPerReturn,
    });
    if (plan.againMs !== undefined) {
      program.askAgainMs = now + plan.againMs;
      this.#asking.add(program);
      if (!first) return;
    }
    const { verb, tier, reason } = plan;
    actions.push({
      type: "kv",
      verb,
      program: program.id,
      endpoint: at.spec.id,
      tokens: program.contextTokens,
      tier,
      reason,
    });
    if (verb === "demote") this.#residence.move(program, at, tier!, program.contextTokens);
  }
}
