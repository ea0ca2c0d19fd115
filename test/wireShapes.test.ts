// The JSON of a protocol is read by protocols and engines alone. Everything between them reads typed calls and typed chunks, so that a
// protocol or an engine of another shape can be added without touching it.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const source = join(import.meta.dirname, "../src");
/** Members of bodies and answers in the shapes of protocols, read by name. */
const reads =
  /(?<=[\w)\]])(\?\.)?\[["'](messages|message|choices|delta|tools|tool_calls|tool_choice|response_format|prompt|usage|stream_options|max_tokens|content)["']\]|\bchoices(\?\.)?\[|\.(tool_choice|response_format|stream_options|max_completion_tokens|tool_call_id)\b/;

test("no room between protocols and engines reads their JSON", () => {
  const files = ["gateway", "agents", "api"]
    .flatMap((room) => globSync(`${room}/**/*.ts`, { cwd: source }))
    .filter((file) => !file.startsWith("gateway/protocols/") && !/\.test\.ts$|testing/.test(file));
  expect(files.length).toBeGreaterThan(80);
  const found = files.flatMap((file) =>
    readFileSync(join(source, file), "utf8")
      .split("\n")
      .flatMap((line, at) => (reads.test(line) ? [`${file}:${at + 1}: ${line.trim()}`] : [])),
  );
  expect(found).toEqual([]);
});
