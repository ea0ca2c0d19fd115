// The end of a batch: results become the output file and the error file, lines that were not served get the batch's reason, and the rows of
// lines go, all in one transaction.
import { nextTurn } from "../../bounded/index.ts";
import type { Queryable } from "../../store/index.ts";
import type { FileStore, FileWriter } from "./files.ts";
import type { LineStore } from "./lineStore.ts";
import { unservedLine } from "./outputLines.ts";
import type { BatchStore } from "./store.ts";
import type { Batch, BatchStatus } from "./types.ts";

/** The state of a batch that has ended for a reason of its own. */
const statusOf: Readonly<Record<string, BatchStatus>> = { batch_cancelled: "cancelled", batch_expired: "expired" };

/** True where the batch was ended here; false where lines are left, or another process ends it. */
export async function writeOutput(
  batch: Batch,
  { files, batches, lines }: { files: FileStore; batches: BatchStore; lines: LineStore },
): Promise<boolean> {
  const isDone = await batches.alone(
    batch,
    ({ status }) => status === "in_progress" || status === "cancelling",
    async (current, client) => {
      if (await batches.hasWork(batch, client)) return false;
      const output = new OptionalFile(files, current, "output", client);
      const errors = new OptionalFile(files, current, "errors", client);
      let unserved = 0;
      for await (const line of lines.results(batch, client)) {
        if (line.text === undefined) unserved++;
        const text = line.text ?? unservedLine({ ...line, batch: batch.id }, current.ends ?? "process_ended");
        await (line.isDone ? output : errors).write(text);
        await nextTurn();
      }
      const status = statusOf[current.ends ?? ""] ?? "completed";
      const outputFile = await output.complete();
      const errorFile = await errors.complete();
      await batches.finish(batch, { status, unserved, outputFile, errorFile }, client);
      return true;
    },
  );
  return isDone === true;
}

/** A file that is there only where a line was written. */
class OptionalFile {
  readonly #begin: () => Promise<FileWriter>;
  readonly #keptSeconds: number;
  #writer: FileWriter | undefined;

  constructor(files: FileStore, batch: Batch, kind: string, client: Queryable) {
    this.#begin = () => files.beginOutput(batch, `${batch.id}_${kind}.jsonl`, client);
    this.#keptSeconds = batch.outputKeptSeconds;
  }

  async write(line: string): Promise<void> {
    this.#writer ??= await this.#begin();
    await this.#writer.write(Buffer.from(`${line}\n`, "utf8"));
  }

  /** Its id. */
  async complete(): Promise<string | undefined> {
    return (await this.#writer?.complete({ purpose: "batch_output", keptSeconds: this.#keptSeconds }))?.id;
  }
}
