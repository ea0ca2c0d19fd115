// Waiting for a client that reads slowly.
import type { Writable } from "node:stream";
import { processMemory } from "../../bounded/index.ts";

/** Resolves when the client has read what was written, or has gone. Until then that is counted as memory of the process. */
export function drained(client: Writable): Promise<void> {
  return new Promise((resolve) => {
    // The text, and the buffers that it becomes.
    const unread = 2 * client.writableLength;
    processMemory.count("streams", unread);
    const done = () => {
      processMemory.release("streams", unread);
      client.off("drain", done);
      client.off("close", done);
      resolve();
    };
    client.on("drain", done);
    client.on("close", done);
    if (client.destroyed) done();
  });
}
