// A scripted device for tests of the engine's loop: its model is a function and its files are JSON, so no rule depends on time.
import { readFile, writeFile } from "node:fs/promises";
import type { BatchItem, Device, Generation, Sampling } from "../device.ts";

/** Token that ends a text of the scripted model. */
export const scriptedEnd = 0;

/** A device whose next token is `model` of all tokens in the slot. */
export class ScriptedDevice implements Device {
  readonly slots: number;
  readonly contextTokens: number;
  readonly canTrim: boolean;
  readonly held: number[][];
  /** Every batch: per slot, how many tokens it computed. */
  readonly batches: Map<number, number>[] = [];
  private readonly model: (tokens: readonly number[]) => number;
  /** Called before each batch, with its number. */
  beforeStep: (batch: number) => void | Promise<void> = () => {};
  failSaves = false;

  constructor(options: {
    slots: number;
    contextTokens: number;
    canTrim?: boolean;
    model?: (tokens: readonly number[]) => number;
  }) {
    this.slots = options.slots;
    this.contextTokens = options.contextTokens;
    this.canTrim = options.canTrim ?? true;
    this.model = options.model ?? ((tokens) => 1 + ((tokens.length * 31 + tokens[tokens.length - 1]! * 7) % 1000));
    this.held = Array.from({ length: options.slots }, () => []);
  }

  async truncate(slot: number, tokens: number): Promise<void> {
    if (!this.canTrim && tokens > 0 && tokens < this.held[slot]!.length) throw new Error("this state cannot be cut");
    this.held[slot]!.length = Math.min(tokens, this.held[slot]!.length);
  }

  async save(slot: number, file: string): Promise<number> {
    if (this.failSaves) throw new Error("ENOSPC");
    const text = JSON.stringify(this.held[slot]);
    await writeFile(file, text, { mode: 0o600 });
    return text.length;
  }

  async load(slot: number, file: string): Promise<number> {
    this.held[slot] = [];
    this.held[slot] = JSON.parse(await readFile(file, "utf8")) as number[];
    return this.held[slot].length;
  }

  begin(_slot: number, _sampling: Sampling): Generation {
    return { end: () => {} };
  }

  /** Resolves while batch number `batch`, counted from 0, is being computed. */
  reached(batch: number): Promise<void> {
    return new Promise((resolve) => {
      const before = this.beforeStep;
      this.beforeStep = (at) => {
        if (at >= batch) resolve();
        return before(at);
      };
    });
  }

  async step(items: BatchItem[]): Promise<(number | undefined | Error)[]> {
    await this.beforeStep(this.batches.length);
    // As in the library, results come in a later turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    this.batches.push(new Map(items.map((item) => [item.slot, item.tokens.length])));
    return items.map(({ slot, tokens, generation }) => {
      const held = this.held[slot]!;
      if (held.length + tokens.length >= this.contextTokens) return new Error("the sequence is full");
      held.push(...tokens);
      return generation && this.model(held);
    });
  }

  isEnd(token: number): boolean {
    return token === scriptedEnd;
  }
}
