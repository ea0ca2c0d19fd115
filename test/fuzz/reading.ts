// What the targets of the fuzzer share.
import { LineshaftError } from "../../src/errors/index.ts";
import type { ModelCall } from "../../src/gateway/modelCall.ts";

/** Reads every getter of a call, those of its prototypes included. */
export function readAll(call: ModelCall): void {
  const getters = new Set<string>();
  for (let level: object | null = call; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    const described = Object.getOwnPropertyDescriptors(level);
    for (const name of Object.keys(described)) if (described[name]!.get) getters.add(name);
  }
  for (const name of getters) allowed(() => call[name as keyof ModelCall]);
  allowed(() => call.outputLimit());
}

export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Lets an error pass that was made for a person; any other is a find. */
export function allowed(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof LineshaftError)) throw error;
  }
}
