import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testCli } from "./testing.ts";

const made = {
  id: "sec_1",
  name: "plant",
  project: "prj_1",
  hosts: ["api.example.com"],
  created_by: "key_1",
  created_at: "2026-01-01T00:00:00Z",
};
const value = "a-token-that-is-not-shown";

test("set sends a file's or a variable's value with its hosts, and prints it nowhere", async () => {
  await using cli = await testCli(() => ({ body: made }));
  const file = join(cli.home, "token");
  writeFileSync(file, `${value}\n`);
  const hosts = ["--host", "api.example.com", "--host", "*.example.net"];
  const { stdout } = await cli.run(["secrets", "set", "plant", ...hosts, "--from-file", file]);
  expect(stdout).toBe("Secret plant is sent to api.example.com by tools of prj_1.\n");
  expect(cli.requests[0]).toMatchObject({
    method: "PUT",
    url: "/api/secrets/plant",
    body: { value, hosts: ["api.example.com", "*.example.net"] },
  });
});

test.each([
  [["--from-file", "x", "--from-env", "Y"], "one place only"],
  [["--from-env", "NOT_SET"], "NOT_SET is not set"],
  [["--from-file", "/does/not/exist"], "cannot be read"],
])("set with %j is wrong use", async (words, why) => {
  await using cli = await testCli();
  const { code, stderr } = await cli.run(["secrets", "set", "plant", "--host", "a.test", ...words]);
  expect([code, cli.requests.length]).toEqual([2, 0]);
  expect(stderr).toContain(why);
});

test("set without a host is wrong use", async () => {
  await using cli = await testCli();
  expect((await cli.run(["secrets", "set", "plant", "--from-env", "X"])).code).toBe(2);
});

test("list shows names and hosts; remove names what there is", async () => {
  await using cli = await testCli(({ method }) => ({
    body: method === "GET" ? { data: [made], next_cursor: null } : { name: "plant", project: "prj_1", deleted: true },
  }));
  expect((await cli.run(["secrets", "list"])).stdout).toContain("plant  api.example.com  prj_1");
  expect((await cli.run(["secrets", "remove", "plants"])).stderr).toContain("plant");
  expect((await cli.run(["secrets", "remove", "plant", "--project", "default"])).stdout).toContain("is removed");
  expect(cli.requests.at(-1)).toMatchObject({ method: "DELETE", url: "/api/secrets/plant?project=default" });
});
