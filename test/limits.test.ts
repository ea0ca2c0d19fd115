// `lineshaft limits` against a served API, its gateway and its database: what a person sets is listed with what counts against it, refuses
// calls, and is removed; what cannot be read changes nothing.
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { hello, testGateway, type TestGateway } from "../src/api/testing.ts";
import { testCli } from "../src/cli/testing.ts";
import type { LimitResource } from "../src/contract/index.ts";

let at: TestGateway;
let cli: Awaited<ReturnType<typeof testCli>>;
beforeAll(async () => {
  [at, cli] = await Promise.all([testGateway(), testCli()]);
});
afterAll(async () => {
  await cli?.[Symbol.asyncDispose]();
  await at?.[Symbol.asyncDispose]();
});

const run = (line: string) =>
  cli.run(["limits", ...line.split(" ")], { LINESHAFT_URL: at.address, LINESHAFT_KEY: at.key });
const limits = async () => (await at.request("/api/limits")).body.data as LimitResource[];
const call = () => at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify(hello) });

beforeEach(async () => {
  for (const { id } of await limits()) await at.request(`/api/limits/${id}`, { method: "DELETE" });
});

test("without a limit the list says how to set the first one, and gives programs an empty list", async () => {
  const { code, stderr } = await run("list");
  expect([code, stderr]).toEqual([0, expect.stringContaining("No limits yet. Set one: npx lineshaft limits set")]);
  expect(JSON.parse((await run("list --json")).stdout)).toEqual({ data: [] });
});

test("a limit is set, counts calls in the list, refuses the next, and is raised by setting it again", async () => {
  const set = await run("set project default --requests-per-minute 2 --tokens-per-day 1,000,000");
  expect(set.stderr).toBe("");
  expect(set.stdout).toContain("Limit of project default: 2 requests a minute.");
  expect(set.stdout).toContain("Limit of project default: 1,000,000 tokens in 24 hours.");
  // The process that serves hears of the limit by a notification. A call before that is not counted.
  let answer = await call();
  while (answer.headers.get("x-ratelimit-limit-requests") === null) answer = await call();
  expect((await call()).status).toBe(200);
  expect((await call()).body.error).toMatchObject({ code: "rate_limit_exceeded" });
  const { stdout } = await run("list");
  const lines = stdout.split("\n").map((line) => line.trim().split(/ {2,}/).slice(1));
  expect(lines).toContainEqual(["project default", "2", "2", "requests a minute"]);
  const raised = await run("set project --requests-per-minute 3");
  expect([raised.code, raised.stderr]).toEqual([0, ""]);
  while ((await call()).status !== 200);
  const { data } = JSON.parse((await run("list --json")).stdout) as { data: LimitResource[] };
  expect(data).toHaveLength(2);
  expect(data.find(({ dimension }) => dimension === "requests_per_minute")).toMatchObject({ amount: 3, used: 3 });
});

test("limits of a key and of one model are named as such", async () => {
  await at.request("/api/keys", { method: "POST", body: JSON.stringify({ name: "ci", role: "member" }) });
  const set = await run("set key ci --model scripted --concurrent-calls 4 --json");
  expect(JSON.parse(set.stdout)).toMatchObject({
    data: [
      { scope: { kind: "key", name: "ci", model: "scripted" }, dimension: "concurrent_calls", amount: 4, used: 0 },
    ],
  });
  expect((await run("list")).stdout).toMatch(/key ci, model scripted +0 +4 +calls at once/);
});

test("a limit is removed by a beginning of its id; one that is not there is refused", async () => {
  await run("set organisation --bytes-in-flight 64000000");
  const [limit] = await limits();
  const missing = await run("remove lim_zzz");
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain("No limit is named lim_zzz");
  const removed = await run(`remove ${limit!.id.slice(0, 12)}`);
  expect(removed.stdout).toContain(`Limit ${limit!.id} is removed.`);
  expect(await limits()).toEqual([]);
});

test.each([
  ["set project default", 2, "Which limit?"],
  ["set project default --requests-per-minute many", 2, "many is not an amount of requests a minute."],
  ["set project default --requests-per-minute -1", 2, "-1 is not an amount"],
  ["set project default --tokens-per-minute 1.5", 2, "1.5 is not an amount of tokens a minute."],
  ["set agent inspector --requests-per-minute 1", 2, "agent is no scope of limits."],
  ["set key --requests-per-minute 1", 2, "Which key?"],
  ["set key unknown --requests-per-minute 1", 1, "No key is named unknown."],
  ["set project other --requests-per-minute 1", 1, "No project is named other."],
  ["set project default --tokens-per-day 9000000000000000", 1, "amount"],
])("limits %s: is refused with what cannot be read, and sets nothing", async (line, code, says) => {
  const refused = await run(line);
  expect([refused.code, refused.stderr]).toEqual([code, expect.stringContaining(says)]);
  expect(await limits()).toEqual([]);
});

test("a member sees the limits that its own calls count against, and sets none", async () => {
  const made = await at.request("/api/keys", { method: "POST", body: JSON.stringify({ name: "m", role: "member" }) });
  await run("set project default --requests-per-minute 600");
  await run("set key owner --requests-per-minute 10");
  const asMember = (line: string) =>
    cli.run(["limits", ...line.split(" ")], { LINESHAFT_URL: at.address, LINESHAFT_KEY: made.body.secret });
  const { stdout } = await asMember("list");
  expect(stdout).toContain("project default");
  expect(stdout).not.toContain("key owner");
  expect((await asMember("set project default --requests-per-minute 1")).code).toBe(1);
  expect(await limits()).toHaveLength(2);
});
