// A child's spec for tests: child.mjs, ready when it says so over IPC.
import { fileURLToPath } from "node:url";
import type { ChildSpec } from "../types.ts";

const program = fileURLToPath(new URL("child.mjs", import.meta.url));

export function testChild(name: string, behaviour = "serve", changes: Partial<ChildSpec> = {}): ChildSpec {
  return {
    name,
    command: process.execPath,
    args: [program, behaviour],
    env: { PATH: process.env["PATH"] ?? "" },
    ipc: true,
    async ready({ messages }, signal) {
      for await (const message of messages) {
        signal.throwIfAborted();
        if ((message as { type?: string }).type === "ready") return;
      }
      throw new Error("it said nothing");
    },
    readyTimeoutMs: 20_000,
    stopSignal: "SIGTERM",
    stopTimeoutMs: 5_000,
    ...changes,
  };
}
