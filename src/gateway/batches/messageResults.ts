// The results of a batch in Anthropic's shape, one JSON object a line: read from the lines of the output and of the error file.
import { limits } from "../limits.ts";
import { LineCutter } from "./lines.ts";
import { readOutputLine } from "./outputLines.ts";

/** Lines of all files, one file after the other, as they are read. */
export async function* messageResults(files: readonly AsyncIterable<Buffer>[]): AsyncGenerator<Buffer, void> {
  for (const file of files) {
    // A line of the output was made here, so it is as long as it is.
    const cutter = new LineCutter(limits.chainBytes);
    for await (const piece of file) {
      const lines = [...cutter.push(piece)].filter((line) => line !== undefined);
      if (lines.length > 0) yield Buffer.from(lines.map(resultOf).join(""), "utf8");
    }
  }
}

/** Results of requests that the end of the batch left unserved, by the code of their line. */
const unserved: Readonly<Record<string, string>> = { batch_cancelled: "canceled", batch_expired: "expired" };

function resultOf(line: string): string {
  const { customId, answer, error } = readOutputLine(line);
  const result = answer
    ? answer.status < 300
      ? `{"type":"succeeded","message":${answer.body}}`
      : `{"type":"errored","error":${answer.body}}`
    : JSON.stringify(unservedResult(error!));
  return `{"custom_id":${JSON.stringify(customId)},"result":${result}}\n`;
}

function unservedResult({ code, message }: { code: string; message: string }): Record<string, unknown> {
  const type = unserved[code];
  if (type !== undefined) return { type };
  return { type: "errored", error: { type: "error", error: { type: "api_error", message, code } } };
}
