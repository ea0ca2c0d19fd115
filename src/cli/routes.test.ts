// What `routes set` sends for the second attempts of a model and for answers that break off, and what it refuses before it asks anything.
import { expect, test } from "vitest";
import { testCli } from "./testing.ts";

const answering = () =>
  testCli(({ method, body }) => (method === "GET" ? { body: { data: [], next_cursor: null } } : { body }));

test.each([
  ["--hedge-after-ms 800 --hedge-share 0.1", { hedge: { after_ms: 800, share: 0.1 } }],
  ["--hedge-after-ms 800", { hedge: { after_ms: 800, share: 0.05 } }],
  ["--no-continue", { continues: false }],
  ["--attempts 2 --no-continue", { retry: { most: 2 }, continues: false }],
])("set with %s", async (options, sent) => {
  await using cli = await answering();
  const { code, stdout, stderr } = await cli.run(["routes", "set", "small", ...options.split(" ")]);
  expect(code, stderr).toBe(0);
  expect(stdout).toBe("Calls of small are served by the model of that name.\n");
  expect(cli.requests.at(-1)).toMatchObject({ method: "PUT", url: "/api/routes" });
  expect(cli.requests.at(-1)!.body).toEqual({ model: "small", ...sent });
});

test.each([
  ["--hedge-share 0.1", "--hedge-share needs --hedge-after-ms."],
  ["--hedge-after-ms 800 --hedge-share 1.5", "1.5 is no share for --hedge-share."],
  ["--hedge-after-ms 800 --hedge-share some", "some is no share for --hedge-share."],
  ["--hedge-after-ms soon", "--hedge-after-ms"],
  ["--json", "What is to be done with calls of small?"],
])("set with %s changes nothing", async (options, said) => {
  await using cli = await answering();
  const { code, stderr } = await cli.run(["routes", "set", "small", ...options.split(" ")]);
  expect(code).toBe(2);
  expect(stderr).toContain(said);
  expect(cli.requests.every(({ method }) => method === "GET")).toBe(true);
});
