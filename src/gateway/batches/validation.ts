// The beginning of a batch: its input file is read line by line, and its lines become rows, all in one transaction. A process that ends
// meanwhile leaves the batch as it was, and another one begins anew.
import { nextTurn } from "../../bounded/index.ts";
import { limits } from "../limits.ts";
import type { FileStore } from "./files.ts";
import { LineCutter, LineReader, type BatchLine, type BatchProblem } from "./lines.ts";
import type { LineStore } from "./lineStore.ts";
import type { BatchStore } from "./store.ts";
import type { Batch } from "./types.ts";

/** True where the batch was validated here: it is in progress or has failed then. */
export async function validated(
  batch: Batch,
  { files, batches, lines }: { files: FileStore; batches: BatchStore; lines: LineStore },
): Promise<boolean> {
  const isDone = await batches.alone(
    batch,
    ({ status }) => status === "validating",
    async ({ project, endpoint, inputFile }, client) => {
      const reader = new LineReader(endpoint);
      const cutter = new LineCutter();
      let isThere = false;
      const add = async (texts: Iterable<string | undefined>) => {
        const found: BatchLine[] = [];
        for (const text of texts) {
          const line = reader.isHopeless ? undefined : reader.read(text);
          if (line) found.push(line);
        }
        if (found.length > 0 && reader.problems.length === 0) await lines.addLines(batch, found, client);
        await nextTurn();
      };
      for await (const chunk of files.chunks(project, inputFile, client)) {
        isThere = true;
        await add(cutter.push(chunk));
        if (reader.isHopeless) break;
      }
      await add(cutter.end());
      const whole = isThere ? reader.whole() : fileGone();
      const problems = [...(whole ? [whole] : []), ...reader.problems].slice(0, limits.batchProblemsMost);
      if (problems.length > 0) await batches.fail(batch, problems, client);
      else await batches.begin(batch, reader.count, client);
      return true;
    },
  );
  return isDone === true;
}

const fileGone = (): BatchProblem => ({
  code: "empty_file",
  line: null,
  message: "The input file has no requests, or was deleted before the batch began.",
  param: "input_file_id",
});
