import { expect, test } from "vitest";
import type { ModelRouteResource } from "../contract/index.ts";
import { testCli } from "./testing.ts";

const updated_at = "2026-01-01T00:00:00Z";
const routes: ModelRouteResource[] = [
  { model: "claude-*", serves: "m", fallbacks: ["n"], marks: "auto", continues: false, updated_at },
  { model: "m", retry: { most: 2, wait_most_ms: 5_000 }, hedge: { after_ms: 800, share: 0.05 }, updated_at },
];

const answers = ({ method, url, body }: { method: string; url: string; body: unknown }) => {
  if (url.startsWith("/api/engines")) return { body: { data: [{ name: "m" }, { name: "n" }], next_cursor: null } };
  if (url === "/api/status") return { body: { project: { id: "prj_1", name: "default" } } };
  if (method === "PUT") return { body: { ...(body as object), updated_at } };
  if (method === "DELETE") return { body: { model: "m", deleted: true } };
  return url.startsWith("/api/routes") ? { body: { data: routes, next_cursor: null } } : undefined;
};

test("list says what each route does", async () => {
  await using cli = await testCli(answers);
  expect((await cli.run(["routes", "list"])).stdout).toMatchInlineSnapshot(`
    "NAME      SERVED BY  THEN  RETRIES                                     ANSWERS                        SHARED IN
    claude-*  m          n     -                                           not continued, prompts marked  -
    m         itself     -     2 attempts at a model, waits up to 5000 ms  second attempt after 800 ms    -
    "
  `);
});

test.each<[string[], object]>([
  [["--serves", "n", "--fallback", "m"], { serves: "n", fallbacks: ["m"] }],
  [["--attempts", "2", "--wait-ms", "5000"], { retry: { most: 2, wait_most_ms: 5_000 } }],
  [["--hedge-after-ms", "800"], { hedge: { after_ms: 800, share: 0.05 } }],
  [["--hedge-after-ms", "800", "--hedge-share", "0.2"], { hedge: { after_ms: 800, share: 0.2 } }],
  [["--no-continue", "--mark-prompts"], { continues: false, marks: "auto" }],
  [
    ["--share", "default", "--share", "prj_2", "--share-any", "--share-tools", "--keep-seconds", "60"],
    { cache: { projects: ["prj_1", "prj_2"], when: "any", tools: true, keep_seconds: 60 } },
  ],
])("set %j sends %j", async (words, route) => {
  await using cli = await testCli(answers);
  expect(await cli.run(["routes", "set", "x", ...words])).toMatchObject({ code: 0, stderr: "" });
  expect(cli.requests.at(-1)).toMatchObject({ method: "PUT", url: "/api/routes", body: { model: "x", ...route } });
});

test.each([
  [[], "What is to be done"],
  [["--attempts", "two"], "not a number for --attempts"],
  [["--hedge-share", "0.1"], "--hedge-share needs --hedge-after-ms"],
  [["--hedge-after-ms", "800", "--hedge-share", "2"], "no share for --hedge-share"],
])("set %j is wrong use, and sets nothing", async (words, why) => {
  await using cli = await testCli(answers);
  const { code, stderr } = await cli.run(["routes", "set", "x", ...words]);
  expect(code).toBe(2);
  expect(stderr).toContain(why);
  expect(cli.requests.some(({ method }) => method === "PUT")).toBe(false);
});

test("set and remove know the names that there are", async () => {
  await using cli = await testCli(answers);
  expect((await cli.run(["routes", "set", "x", "--serves", "mm"])).stderr).toContain("Did you mean m?");
  expect((await cli.run(["routes", "remove", "claude"])).stderr).toContain("claude-*");
  expect((await cli.run(["routes", "remove", "claude-*"])).stdout).toBe("The route of claude-* is removed.\n");
  expect(cli.requests.at(-1)).toMatchObject({ method: "DELETE", url: "/api/routes/claude-*" });
});
