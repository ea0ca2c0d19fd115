// A conversation whose messages are read when they are asked for: many readers of a prompt look at its kind alone. It is a class, because each
// evaluation of an object literal with a getter makes a hidden class of its own in V8, which misses every inline cache, and keeps the
// whole body alive until a full collection of garbage.
import type { Message } from "../../engines/index.ts";

export class ReadPrompt {
  readonly kind = "messages";
  readonly #read: () => readonly Message[];

  constructor(read: () => readonly Message[]) {
    this.#read = read;
  }

  get messages(): readonly Message[] {
    return this.#read();
  }
}
