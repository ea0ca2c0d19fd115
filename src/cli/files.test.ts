import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testCli, testNow } from "./testing.ts";

const file = {
  id: "file_01a",
  object: "file",
  bytes: 12,
  created_at: testNow / 1000 - 3_600,
  expires_at: testNow / 1000 + 86_400,
  filename: "in.jsonl",
  purpose: "batch",
  status: "processed",
};

const answers = ({ method, url }: { method: string; url: string }) => {
  if (url.startsWith("/v1/files?")) return { body: { object: "list", data: [file], has_more: false } };
  if (url === "/v1/files/file_01a/content") return { text: "twelve bytes" };
  return method === "DELETE" ? { body: { id: file.id, deleted: true } } : undefined;
};

test("files are listed, written to a path and removed by a beginning of their id", async () => {
  await using cli = await testCli(answers);
  expect((await cli.run(["files", "list"])).stdout.split("\n")[1]).toBe(
    "file_01a  in.jsonl  batch    12 B  1 h ago  in 1 d",
  );
  const path = join(cli.home, "here.jsonl");
  expect((await cli.run(["files", "download", "01", "--output", path])).stdout).toContain("12 B of file_01a");
  expect(readFileSync(path, "utf8")).toBe("twelve bytes");
  expect((await cli.run(["files", "remove", "latest"])).stdout).toBe("File in.jsonl (file_01a) is removed.\n");
  expect(cli.requests.at(-1)).toMatchObject({ method: "DELETE", url: "/v1/files/file_01a" });
  expect((await cli.run(["files", "remove", "file_x"])).code).toBe(1);
});
