import { expect, test } from "vitest";
import { testCli } from "./testing.ts";

const kept = { project: "prj_1", bytes: 1_200_000, limit_bytes: 10 * 1024 ** 3, retention_days: 30 };

test("show says what is kept, what may be, and for how long", async () => {
  await using cli = await testCli(() => ({ body: kept }));
  expect((await cli.run(["response-storage", "show"])).stdout).toBe(
    "project   prj_1\nkept      1.2 MB of 11 GB (1,200,000 of 10,737,418,240 bytes)\nkept for  30 days\n",
  );
});

test.each([
  [["--limit", "20GB"], { limit_bytes: 20_000_000_000 }],
  [["--limit", "1.5 GiB"], { limit_bytes: 1_610_612_736 }],
  [["--limit", "4096"], { limit_bytes: 4_096 }],
  [["--keep-days", "0"], { retention_days: 0 }],
  [["--limit", "default", "--keep-days", "default"], { limit_bytes: null, retention_days: null }],
])("set %j sends %j", async (words, body) => {
  await using cli = await testCli(() => ({ body: kept }));
  expect((await cli.run(["response-storage", "set", ...words])).code).toBe(0);
  expect(cli.requests).toMatchObject([{ method: "PUT", url: "/api/response-storage", body }]);
});

test.each([[[]], [["--limit", "much"]], [["--limit", "1XB"]], [["--keep-days", "4000"]], [["--keep-days", "-1"]]])(
  "set %j is wrong use, and sends nothing",
  async (words) => {
    await using cli = await testCli(() => ({ body: kept }));
    expect((await cli.run(["response-storage", "set", ...words])).code).toBe(2);
    expect(cli.requests).toEqual([]);
  },
);
