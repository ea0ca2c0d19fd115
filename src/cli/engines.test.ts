// `lineshaft engines forget` says everything that it erases, because stored responses and batches go with the KV.
import { expect, test } from "vitest";
import type { KvCacheErased } from "../contract/index.ts";
import { testCli } from "./testing.ts";

const erased: KvCacheErased = {
  project: "prj_1",
  erased: ["small"],
  not_by_project: ["provider"],
  responses: 1_200,
  conversations: 3,
  batches: 2,
  files: 5,
};

test("forget names what was erased, and endpoints that keep the rest", async () => {
  await using cli = await testCli(() => ({ body: erased }));
  const { stdout, stderr } = await cli.run(["engines", "forget"]);
  expect(cli.requests).toMatchObject([{ method: "DELETE", url: "/api/kv-cache" }]);
  expect(stdout).toContain("Erased at small.");
  expect(stdout).toContain("Deleted: 1,200 responses, 3 conversations, 2 batches, 5 files.");
  expect(stdout + stderr).toContain("provider");
  expect(JSON.parse((await cli.run(["engines", "forget", "--json"])).stdout)).toEqual(erased);
});
