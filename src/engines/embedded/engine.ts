// The loop that serves calls: admits them to sequences, computes one batch after another, and ends them.
//
// States of a call: waiting -> (placed) prefilling -> decoding -> ended. Ended by: the model's end token or a stop ("stop"),
// its budget or a full sequence ("length"), its caller ("abort"), or an error. A call that is waiting for a prefix that
// another computes stays in the queue; those behind it may go first. A prefill for another worker ends ("stop") where its
// prompt does, with its state saved; a call that goes on from such a state either begins with it or ends with kv_lost.
//
// One batch at a time, and everything else (admission, files, facts, aborts) happens between two batches. So an abort takes
// effect within one token or one chunk, and nothing here needs a lock.
import { LineshaftError } from "../../errors/index.ts";
import { shareOut } from "./batch.ts";
import { blockHashes, saltOf } from "./blocks.ts";
import {
  type Active,
  type Call,
  type CallEnd,
  type EngineTotals,
  type Verdict,
  addTo,
  endOf,
  newActive,
  newTotals,
  toCompute,
} from "./call.ts";
import type { BatchItem } from "./device.ts";
import { kvLost } from "./errors.ts";
import type { Kv } from "./kv.ts";
import type { KvFile } from "./kvIndex.ts";
import { lent } from "./lending.ts";
import { earlyAbortsRemembered } from "./limits.ts";
import { WaitingQueue } from "./queue.ts";
import { type Plan, plan, usablePrefix } from "./sequences.ts";

export class Engine {
  readonly kv: Kv;
  readonly totals: EngineTotals = newTotals();
  private readonly now: () => number;
  private readonly queue: WaitingQueue<Active>;
  private readonly active = new Set<Active>();
  private readonly byAttempt = new Map<string, Active>();
  /** Attempts that were aborted before they arrived: an abort may overtake a long body. */
  private readonly abortedEarly = new Set<string>();
  private readonly chores: (() => Promise<void>)[] = [];
  private order = 0;
  private secondsPerCall = 1;
  private stirred = false;
  private wake: (() => void) | undefined;
  private closing = false;
  private readonly done: Promise<void>;

  constructor(kv: Kv, queueLimit: number, now: () => number = () => performance.now()) {
    this.kv = kv;
    this.now = now;
    this.queue = new WaitingQueue(queueLimit);
    this.done = this.run();
  }

  get running(): number {
    return this.active.size;
  }

  get waiting(): number {
    return this.queue.length;
  }

  /** Takes a call, or throws LineshaftError: 429 when the queue is full, 409 for an attempt that is under way, 503 when the worker ends. */
  submit(call: Call): void {
    if (this.closing) {
      throw new LineshaftError({
        code: "engine_stopping",
        message: "The engine is stopping.",
        hint: "Send the call again in a moment.",
        retryAfterSeconds: 2,
      });
    }
    if (this.byAttempt.has(call.attempt)) {
      throw new LineshaftError({
        code: "duplicate_attempt",
        message: `The attempt ${call.attempt} is under way already.`,
        hint: "Give every attempt an id of its own.",
      });
    }
    const active = newActive(call, blockHashes(saltOf(call.owner.cacheSalt), call.prompt), this.now());
    const slots = this.kv.slots.length;
    this.queue.push(active, {
      secondsPerCall: this.secondsPerCall,
      slots,
      free: slots - this.active.size,
    });
    this.byAttempt.set(call.attempt, active);
    active.aborted = this.abortedEarly.delete(call.attempt);
    this.totals.calls++;
    this.stir();
  }

  /** Ends a call between two batches. Returns false if the call is unknown; if it arrives later, it ends at once. */
  abort(attempt: string): boolean {
    const active = this.byAttempt.get(attempt);
    if (!active) {
      if (this.abortedEarly.size >= earlyAbortsRemembered)
        this.abortedEarly.delete(this.abortedEarly.values().next().value!);
      this.abortedEarly.add(attempt);
      return false;
    }
    active.aborted = true;
    this.stir();
    return true;
  }

  /** Runs `action` on the sequences between two batches. */
  between<T>(chore: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.chores.push(() => chore().then(resolve, reject));
      this.stir();
    });
  }

  /** Ends all calls and the loop. */
  async close(): Promise<void> {
    this.closing = true;
    this.stir();
    await this.done;
  }

  private stir(): void {
    this.stirred = true;
    this.wake?.();
    this.wake = undefined;
  }

  private async run(): Promise<void> {
    while (!this.closing) {
      this.stirred = false;
      for (const chore of this.chores.splice(0)) await chore();
      await this.endAborted();
      await this.admit();
      if (this.active.size > 0) await this.step();
      // Work that arrived during this turn must not wait for the next wake-up.
      else if (!this.stirred) await new Promise<void>((resolve) => (this.wake = resolve));
    }
    for (const waiting of this.queue) this.abort(waiting.call.attempt);
    for (const active of this.active) active.aborted = true;
    await this.endAborted();
    for (const chore of this.chores.splice(0)) await chore();
  }

  private async endAborted(): Promise<void> {
    for (const waiting of this.queue) {
      if (!waiting.aborted) continue;
      this.queue.remove(waiting);
      await this.end(waiting, "abort");
    }
    for (const active of this.active) if (active.aborted) await this.end(active, "abort");
  }

  /** Gives sequences to waiting calls, in their order. */
  private async admit(): Promise<void> {
    await this.endLost();
    for (const waiting of this.queue) {
      const chosen = this.planFor(waiting);
      if (!chosen) return;
      if (chosen.type === "wait") continue;
      this.queue.remove(waiting);
      const decoding = [...this.active].some((active) => active.sampled > 0);
      try {
        await this.place(waiting, chosen);
      } catch (error) {
        await this.end(waiting, "error", error);
      }
      // Moving a file delays every stream, so at most one file is moved between two batches while a stream is read.
      if (decoding && (chosen.park || chosen.source.type === "file" || chosen.source.type === "fork")) return;
    }
  }

  /** Calls whose transferred state is lost end now, without waiting for a sequence. */
  private async endLost(): Promise<void> {
    for (const waiting of this.queue) {
      if (!waiting.call.transfer || this.transferred(waiting.call)) continue;
      this.queue.remove(waiting);
      await this.end(waiting, "error", kvLost("its state is gone"));
    }
  }

  /** The file of the call's transferred state, if it holds the promised tokens. */
  private transferred({ transfer, prompt, owner }: Call): KvFile | undefined {
    const file = lent(this.kv.store, transfer!.state);
    if (!file || file.cacheSalt !== owner.cacheSalt) return undefined;
    const held = usablePrefix(file.tokens, prompt, this.kv.device.canTrim);
    return held >= promised(transfer!, prompt) ? file : undefined;
  }

  private planFor(active: Active, files = true): Plan | undefined {
    const { call, hashes } = active;
    if (call.transfer) return this.planTransfer(call, files);
    return plan({
      cacheSalt: call.owner.cacheSalt,
      program: call.owner.program,
      prompt: call.prompt,
      sequences: this.kv.views(),
      fileTokensMax: files ? this.kv.store.maxTokens : 0,
      files: files ? this.kv.store.candidates(hashes) : [],
      canTrim: this.kv.device.canTrim,
    });
  }

  /**
   * Starts the call from the transferred state, or from a sequence that holds the same tokens; undefined when every sequence is running.
   */
  private planTransfer(call: Call, files: boolean): Plan | undefined {
    const file = files ? this.transferred(call) : undefined;
    const chosen = plan({
      cacheSalt: call.owner.cacheSalt,
      program: call.owner.program,
      prompt: call.prompt,
      // This call does not wait for another call's prefill, because its own state is available.
      sequences: this.kv.views().map((view) => ({ ...view, prefilling: undefined })),
      fileTokensMax: files ? this.kv.store.maxTokens : 0,
      files: file ? [file] : [],
      canTrim: this.kv.device.canTrim,
    });
    return chosen?.type === "serve" ? { ...chosen, share: 0 } : chosen;
  }

  /** Brings the slot into the planned state and starts the call there. */
  private async place(active: Active, chosen: Extract<Plan, { type: "serve" }>): Promise<void> {
    const { kv } = this;
    const { call } = active;
    active.at.placed = this.now();
    const slot = kv.slots[chosen.slot]!;
    if (call.transfer && chosen.keep < promised(call.transfer, call.prompt)) throw kvLost("its state cannot be read");
    // Before any state is displaced, because a refused grammar must not cost another call its state.
    if (!call.prefillOnly) active.generation ??= kv.device.begin(slot.id, call.sampling);
    const planned = chosen.source.type === "file" ? kv.store.get(chosen.source.file) : undefined;
    // Parking the victim may evict files from the budget; the file that is about to be loaded is exempt.
    if (planned) kv.store.touch(planned);
    if (chosen.park) await kv.park(slot);
    let tier: "device" | "disk" = "device";
    if (chosen.source.type === "file" || chosen.source.type === "fork") {
      tier = chosen.source.type === "file" ? "disk" : "device";
      const file = chosen.source.type === "file" ? planned : await kv.park(kv.slots[chosen.source.from]!);
      if (!file || !(await kv.restore(slot, file, call.owner))) {
        // The file is gone or the disk is full, so the call is planned again without files.
        const next = this.planFor(active, false);
        if (next?.type !== "serve") throw new Error("no sequence is free");
        active.generation?.end();
        active.generation = undefined;
        return this.place(active, next);
      }
    }
    let keep = chosen.source.type === "nothing" ? 0 : chosen.keep;
    if (chosen.share > 0) keep = chosen.share;
    await kv.cut(slot, keep);
    slot.owner = call.owner;
    slot.outlook = undefined;
    if (chosen.share > 0) await kv.share(slot);
    const wanted = toCompute(call);
    slot.running = true;
    slot.prefilling = wanted;
    kv.used(slot);
    active.slot = slot;
    active.order = this.order++;
    active.cached[tier] = keep;
    active.pending = wanted.slice(keep);
    active.at.ready = this.now();
    this.active.add(active);
    if (call.transfer) {
      this.totals.pulls++;
      call.onPulled?.(keep);
    }
    if (call.prefillOnly && active.pending.length === 0) await this.prefilled(active);
  }

  /** Computes one batch: a token for every stream, chunks for those in prefill. */
  private async step(): Promise<void> {
    const all = [...this.active];
    const long = all.filter((active) => active.pending.length > 1 || active.call.prefillOnly);
    const shares = shareOut(
      long.map((active) => ({ id: active.slot!.id, pending: active.pending.length, order: active.order })),
      all.length - long.length,
    );
    const batch: { active: Active; item: BatchItem }[] = [];
    for (const active of all) {
      const slot = active.slot!.id;
      const take = shares.get(slot) ?? (active.pending.length === 1 ? 1 : 0);
      if (take === 0) continue;
      const generation = take === active.pending.length ? active.generation : undefined;
      const item = { slot, tokens: active.pending.slice(0, take), ...(generation && { generation }) };
      batch.push({ active, item });
    }
    const answers = await this.kv.device.step(batch.map(({ item }) => item));
    for (const [index, { active, item }] of batch.entries()) {
      const answer = answers[index];
      if (answer instanceof Error) {
        await this.end(active, "error", answer);
        continue;
      }
      this.kv.grew(active.slot!, item.tokens);
      if (active.sampled === 0) active.computed += item.tokens.length;
      active.pending = active.pending.slice(item.tokens.length);
      if (answer !== undefined) await this.sampled(active, answer);
      else if (active.pending.length === 0) await this.prefilled(active);
    }
  }

  /** The prompt is computed for another worker: its state is saved, and the sequence goes on as ordinary cache. */
  private async prefilled(active: Active): Promise<void> {
    active.at.prefilled = this.now();
    if (!active.aborted) active.lease = await this.kv.lend(active.slot!);
    await this.end(active, active.aborted ? "abort" : "stop");
  }

  private async sampled(active: Active, token: number): Promise<void> {
    const { call } = active;
    if (active.sampled === 0) {
      active.at.prefilled = this.now();
      active.slot!.prefilling = undefined;
    }
    active.sampled++;
    if (this.kv.device.isEnd(token)) return this.end(active, "stop");
    active.output.push(token);
    active.pending = [token];
    try {
      const verdict = call.onToken(token);
      if (verdict.type === "stop") return await this.end(active, "stop");
      if (verdict.type === "rewind") await this.rewind(active, verdict);
      if (active.sampled >= call.maxTokens || this.isFull(active)) return await this.end(active, "length");
    } catch (error) {
      return this.end(active, "error", error);
    }
  }

  /** Whether the pending tokens and one more would not fit into the sequence. */
  private isFull(active: Active): boolean {
    return active.slot!.tokens.length + active.pending.length >= this.kv.device.contextTokens;
  }

  private async rewind(active: Active, to: Extract<Verdict, { type: "rewind" }>): Promise<void> {
    const slot = active.slot!;
    const start = active.call.prompt.length;
    const wanted = [...active.output.slice(0, to.keep), ...to.tokens];
    await this.kv.cut(slot, start + to.keep);
    active.pending = wanted.slice(slot.tokens.length - start);
    active.output = wanted;
    active.generation!.end();
    active.generation = this.kv.device.begin(slot.id, { ...active.call.sampling, grammar: to.grammar });
  }

  private async end(active: Active, reason: CallEnd["reason"], cause?: unknown): Promise<void> {
    const { call, slot } = active;
    this.byAttempt.delete(call.attempt);
    this.active.delete(active);
    active.generation?.end();
    if (slot) {
      slot.running = false;
      slot.prefilling = undefined;
      this.kv.used(slot);
      // After an error it is unknown what the device holds.
      if (reason === "error" || slot.doomed) await this.kv.clear(slot);
    }
    const ended = endOf(active, reason, this.now(), cause);
    if (slot && reason !== "abort") {
      const seconds = (ended.report.restoreMs + ended.report.prefillMs + ended.report.decodeMs) / 1000;
      this.secondsPerCall = this.secondsPerCall * 0.8 + seconds * 0.2;
    }
    addTo(this.totals, ended);
    call.onEnd(ended);
  }
}

/** Tokens that must be transferred: all but the prompt's last, which is computed here for its logits. */
function promised(transfer: NonNullable<Call["transfer"]>, prompt: readonly number[]): number {
  return Math.min(transfer.tokens, prompt.length - 1);
}
