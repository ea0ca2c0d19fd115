import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { BatchResource } from "../contract/index.ts";
import { testCli } from "./testing.ts";

const batch: BatchResource = {
  id: "batch_01a",
  status: "completed",
  endpoint: "/v1/chat/completions",
  key: "key_1",
  total: 200,
  completed: 199,
  failed: 1,
  price_nano: "4710",
  currency: "USD",
  input_file: "file_in",
  output_file: "file_out",
  error_file: "file_err",
  problems: [],
  created_at: "2026-01-01T23:00:00Z",
  expires_at: "2026-01-02T23:00:00Z",
  ended_at: "2026-01-01T23:10:00Z",
};
const line = JSON.stringify({ custom_id: "1", method: "POST", url: "/v1/embeddings", body: { model: "m" } });

/** An instance with these batches, newest first; the state of the first one moves on with each look. */
function instance(batches: BatchResource[], states: BatchResource["status"][] = []) {
  return ({ method, url }: { method: string; url: string }) => {
    if (method === "POST" && url === "/v1/files") return { body: { id: "file_in" } };
    if (method === "POST")
      return { body: { id: batches[0]!.id, status: url.endsWith("/cancel") ? "cancelling" : "validating" } };
    if (url === "/v1/files/file_out/content") return { text: '{"custom_id":"é"}\n' };
    if (url === "/v1/files/file_err/content") return { text: '{"error":1}\n' };
    if (url.startsWith("/api/batches?")) return { body: { data: batches, next_cursor: null } };
    const state = states.length > 1 ? states.shift()! : (states[0] ?? batches[0]!.status);
    return url.startsWith("/api/batches/") ? { body: { ...batches[0]!, status: state } } : undefined;
  };
}

test("list shows state, counts and price; show says what is wrong with a file", async () => {
  const problems = [{ code: "invalid_url", line: 3, message: "`url` must be the batch's endpoint.", param: "url" }];
  const failed: BatchResource = { ...batch, id: "batch_02b", status: "failed", problems, output_file: null };
  await using cli = await testCli(instance([batch, failed]));
  const { stdout } = await cli.run(["batches", "list", "--status", "completed"]);
  expect(cli.requests[0]!.url).toBe("/api/batches?status=completed&limit=20");
  expect(stdout.split("\n")[1]).toBe(
    "batch_01a  completed  /v1/chat/completions  199 of 200       1  4.71 µUSD  1 h ago",
  );
  const shown = await cli.run(["batches", "show", "02"]);
  expect(shown.stdout).toContain("Line 3: `url` must be the batch's endpoint.");
  expect((await cli.run(["batches", "show", "nope"])).stderr).toContain("none has an id that begins like this");
  expect((await cli.run(["batches", "list", "--status", "done"])).code).toBe(2);
});

test("create uploads the file as it is and calls what its first line calls", async () => {
  await using cli = await testCli(instance([batch]));
  const path = join(cli.home, "calls.jsonl");
  writeFileSync(path, `\n${line}\n${line.replace('"1"', '"ü"')}\n`);
  expect(await cli.run(["batches", "create", path])).toMatchObject({ code: 0, stdout: "batch_01a\n" });
  const form = String(cli.requests[0]!.body);
  expect(form).toContain('name="file"; filename="calls.jsonl"');
  expect(form).toContain(readFileSync(path, "utf8"));
  expect(cli.requests[1]).toMatchObject({
    url: "/v1/batches",
    body: { input_file_id: "file_in", endpoint: "/v1/embeddings", completion_window: "24h" },
  });
  const piped = await cli.run(["batches", "create", "-", "--json"], undefined, line);
  expect(JSON.parse(piped.stdout)).toMatchObject({ id: "batch_01a" });
});

test("create with --follow waits for the end, and exits by it", async () => {
  const whole = { ...batch, completed: 200, failed: 0 };
  await using cli = await testCli(instance([whole], ["validating", "completed"]));
  const done = await cli.run(["batches", "create", "-", "--follow"], undefined, line);
  expect(done).toMatchObject({ code: 0 });
  expect(done.stdout).toContain("200 of 200");
  await using other = await testCli(instance([batch]));
  expect((await other.run(["batches", "create", "-", "--follow"], undefined, line)).code).toBe(1);
});

test.each([
  ["a file that is not there", ["/nowhere.jsonl"], "", "There is no such file"],
  ["what is not JSON", ["-"], "hello", "It is not JSON"],
  ["a line without a url", ["-"], "{}", "Its `url` must be one of"],
  ["an endpoint that batches do not have", ["-"], line.replace("embeddings", "rerank"), "Its `url` must be one of"],
  ["nothing", ["-"], "", "It is not JSON"],
])("create with %s is wrong use, and sends nothing", async (_what, words, stdin, why) => {
  await using cli = await testCli(instance([batch]));
  const { code, stderr } = await cli.run(["batches", "create", ...words], undefined, stdin);
  expect([code, cli.requests.length]).toEqual([2, 0]);
  expect(stderr).toContain(why);
});

test("results go to stdout or to files, and lines that failed are told", async () => {
  await using cli = await testCli(instance([batch]));
  const plain = await cli.run(["batches", "results", "latest"]);
  expect(plain.stdout).toBe('{"custom_id":"é"}\n');
  expect(plain.stderr).toContain("1 lines failed. Write them too: --errors FILE");
  const [output, errors] = [join(cli.home, "out.jsonl"), join(cli.home, "err.jsonl")];
  const written = await cli.run(["batches", "results", "latest", "--output", output, "--errors", errors, "--json"]);
  expect(JSON.parse(written.stdout)).toMatchObject({ output: { path: output, bytes: 19 }, errors: { bytes: 12 } });
  expect([readFileSync(output, "utf8"), readFileSync(errors, "utf8")]).toEqual([
    '{"custom_id":"é"}\n',
    '{"error":1}\n',
  ]);
  expect((await cli.run(["batches", "results", "latest", "--json"])).code).toBe(2);
  const nowhere = join(cli.home, "no", "out.jsonl");
  expect((await cli.run(["batches", "results", "latest", "--output", nowhere])).stderr).toContain("no such folder");
  expect(existsSync(`${nowhere}.part`)).toBe(false);
});

test("results of a batch that is under way are not there yet", async () => {
  await using cli = await testCli(instance([{ ...batch, status: "in_progress", output_file: null, ended_at: null }]));
  const { code, stderr } = await cli.run(["batches", "results", "latest"]);
  expect(code).toBe(1);
  expect(stderr).toContain("it is in_progress");
});

test("cancel names the batch", async () => {
  await using cli = await testCli(instance([batch]));
  expect((await cli.run(["batches", "cancel", "latest"])).stdout).toBe("Batch batch_01a is cancelling.\n");
  await using ofMessages = await testCli(
    instance([{ ...batch, id: "msgbatch_01a", input_file: null }], ["cancelling"]),
  );
  const said = await ofMessages.run(["batches", "cancel", "msgbatch_01a"]);
  expect(said.stdout).toBe("Batch msgbatch_01a is cancelling.\n");
  expect(ofMessages.requests.map(({ url }) => url)).toContain("/v1/messages/batches/msgbatch_01a/cancel");
  await using none = await testCli(instance([]));
  expect((await none.run(["batches", "cancel", "latest"])).stderr).toContain("There is no batch yet");
});
