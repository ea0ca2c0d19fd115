// What /api takes and what it shows: unknown fields are refused by name, secrets lie in no cache, pages are in no frame, and metrics
// are not for everyone. Hostile values are refused with 400, never answered with a failure of the server.
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deploymentRoutes } from "../../src/api/routes/deployments.ts";
import { testGateway, type TestGateway } from "../../src/api/testing.ts";
import { Secrets } from "../../src/governance/index.ts";
import { createAgents } from "../../src/agents/index.ts";
import { agentRoutes } from "../../src/api/index.ts";
import { runs } from "../setup/runs.ts";

let at: TestGateway;
beforeAll(async () => {
  at = await testGateway({
    openMetrics: false,
    routes: ({ db, session, gateway, ledger, engines, alarms, log }) => {
      const nowhere = { socket: "/dev/null/restate" };
      const restate = { ingress: nowhere, admin: nowhere, embedded: true, identityKeys: [] };
      const agents = createAgents({
        db,
        session,
        gateway,
        ledger,
        engines,
        alarms,
        log,
        restate,
        events: { publish: () => {} },
        secrets: new Secrets({ db, key: Buffer.alloc(32) }),
      });
      const deployments = {
        list: async () => [],
        publish: () => Promise.resolve({ changed: false }),
        remove: () => Promise.resolve(false),
      };
      return [agentRoutes(agents.parts), deploymentRoutes(deployments)];
    },
  });
});
afterAll(() => at[Symbol.asyncDispose]());

const json = (method: string, body: unknown) => ({ method, body: JSON.stringify(body) });

test.each([
  ["POST", "/api/keys", { name: "temporary", role: "owner", expires_at: "2027-01-01T00:00:00Z" }, "expires_at"],
  ["POST", "/api/keys", { name: "k", rol: "member" }, "rol", "role"],
  ["PUT", "/api/budgets", { scope: { kind: "organisation", id: "acme", nam: "x" }, limit_nano: "1" }, "scope.nam"],
  [
    "PUT",
    "/api/budgets",
    { scope: { kind: "organisation", id: "acme" }, limit_nano: "1", perod: "day" },
    "perod",
    "period",
  ],
  [
    ...["POST", "/api/engines"],
    { name: "e", urls: ["http://127.0.0.1:9"], model: "m", price: { currency: "USD", input: "1" } },
    "price.",
  ],
  ["POST", "/api/runs", { agent: "a", input: {}, priority: 5 }, "priority"],
  ["POST", "/api/agents", { manifest: {}, file: {} }, "file", "files"],
  ["POST", "/api/runs/run_x/stop", { reason: "enough" }, "reason"],
  ["PUT", "/api/deployments/d", { manifest: {}, force: true }, "force"],
  ["GET", "/api/calls?stauts=failed", undefined, "stauts", "status"],
  ["GET", "/api/keys?role=owner", undefined, "role"],
  ["GET", "/api/overview?form=2026-01-01", undefined, "form"],
  ["DELETE", "/api/keys/key_x?force=1", undefined, "force"],
] as [string, string, unknown, string, string?][])(
  "%s %s with %j is refused by name",
  async (method, path, body, field, meant) => {
    const keys = (await at.request("/api/keys")).body.data.length as number;
    const answer = await at.request(path, body === undefined ? { method } : json(method, body));
    expect(answer.status).toBe(400);
    expect(answer.body.error.message).toContain(field);
    if (meant !== undefined) expect(answer.body.error.message).toContain(`Did you mean \`${meant}\`?`);
    expect((await at.request("/api/keys")).body.data).toHaveLength(keys);
  },
);

test("answers to a key lie in no cache, above all a secret that is shown once", async () => {
  const made = await at.request("/api/keys", json("POST", { name: "once" }));
  expect(made.body.secret).toMatch(/^lsk_/);
  expect(made.headers.get("cache-control")).toBe("no-store");
  for (const path of ["/api/keys", "/api/status", "/api/runs/none"])
    expect((await at.request(path)).headers.get("cache-control")).toBe("no-store");
});

test("no page is shown in a frame, and the page of the documentation runs and asks this instance alone", async () => {
  for (const path of ["/api/docs", "/console/", "/api/status", "/healthz"]) {
    const { headers } = await at.request(path);
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
  }
  const policy = (await at.request("/api/docs")).headers.get("content-security-policy")!;
  for (const rule of ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "font-src 'self'"])
    expect(policy.split("; ")).toContain(rule);
});

test("metrics beyond loopback need an owner's key", async () => {
  expect((await fetch(`${at.address}/metrics`)).status).toBe(401);
  const member = (await at.request("/api/keys", json("POST", { name: "m" }))).body.secret as string;
  const asMember = await fetch(`${at.address}/metrics`, { headers: { authorization: `Bearer ${member}` } });
  expect(asMember.status).toBe(403);
  expect((await at.request("/metrics")).status).toBe(200);
});

// --- hostile values over the whole document -------------------------------------------------------------------------------

interface Schema {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  items?: Schema;
}
interface Operation {
  parameters?: { name: string; in: "path" | "query" | "header"; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}

const hostileTexts = [
  ...[
    "",
    " ",
    "\u0000",
    "\ud800",
    "%",
    "%00",
    "%2e%2e%2f",
    "../..",
    "__proto__",
    "constructor",
    "'; drop table keys; --",
  ],
  ...["-1", "0", "1e400", "NaN", "1.5", "9223372036854775808", "9".repeat(400), "x".repeat(8_000), "💥".repeat(900)],
  ...[
    "+300000-01-01T00:00:00Z",
    "2026-13-45",
    "275760-09-13",
    "0001-01-01",
    "infinity",
    "run_",
    "~",
    "\\",
    "{}",
    "[1]",
  ],
];
const hostileValues: unknown[] = [
  ...hostileTexts,
  ...[null, true, -1, 0.5, 1e308, 2 ** 63, Number.MAX_SAFE_INTEGER + 2, [], {}, [[]], { __proto__: null, toString: 1 }],
  ...[Array.from({ length: 70 }).reduce((inner) => [inner], 1), Array.from({ length: 3_000 }, (_, place) => place)],
];

/** A value of the schema, or at any place a hostile one instead. */
function valueOf(schema: Schema | undefined, name = ""): fc.Arbitrary<unknown> {
  const hostile = fc.constantFrom(...hostileValues);
  // Addresses are asked at once: only ones that refuse at once are given.
  if (name === "urls") return fc.constantFrom<unknown>(["http://127.0.0.1:9"], ["file:///etc/passwd"], [], "x");
  const right = rightOf(schema);
  return fc.oneof({ weight: 3, arbitrary: right }, { weight: 2, arbitrary: hostile });
}

function rightOf(schema: Schema | undefined): fc.Arbitrary<unknown> {
  if (schema?.enum) return fc.constantFrom(...schema.enum);
  if (schema?.anyOf) return fc.oneof(...schema.anyOf.map((one) => rightOf(one)));
  if (schema?.properties)
    return fc.record(
      Object.fromEntries(Object.entries(schema.properties).map(([key, inner]) => [key, valueOf(inner, key)])),
      { requiredKeys: [] },
    );
  if (schema?.items) return fc.array(valueOf(schema.items), { maxLength: 3 });
  return schema?.type === "string" ? fc.constantFrom("a", "USD", "1", "2026-01-01") : fc.jsonValue({ maxDepth: 3 });
}

test("every route of the document answers hostile values with less than 500", async () => {
  const { body: document } = await at.request("/api/openapi.json");
  const operations = Object.entries(document.paths as Record<string, Record<string, Operation>>)
    .filter(([path]) => path.startsWith("/api/") && path !== "/api/events")
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
    );
  expect(operations.length).toBeGreaterThan(25);
  const failures: unknown[] = [];
  let sent = 0;
  for (const { path, method, operation } of operations) {
    const parameters = operation.parameters ?? [];
    const body = operation.requestBody?.content["application/json"]?.schema;
    const texts = fc.oneof(fc.constantFrom(...hostileTexts), fc.string({ unit: "grapheme", maxLength: 40 }));
    const requests = fc.record({
      // A query parameter is left out as often as not, so that one hostile value does not hide the next.
      values: fc.tuple(...parameters.map(({ in: where }) => (where === "path" ? texts : fc.option(texts)))),
      body: body ? valueOf(body) : fc.constant(undefined),
    });
    for (const made of fc.sample(requests, { numRuns: runs(30), seed: 7 })) {
      const filled = parameters.reduce(
        (address, { name, in: where }, place) =>
          where === "path" ? address.replace(`{${name}}`, encoded(made.values[place]!) || "x") : address,
        path,
      );
      const query = parameters.flatMap(({ name, in: where }, place) => {
        const value = made.values[place] ?? null;
        return where === "query" && value !== null ? [`${name}=${encoded(value)}`] : [];
      });
      const address = query.length > 0 ? `${filled}?${query.join("&")}` : filled;
      const answer = await at.request(address, made.body === undefined ? { method } : json(method, made.body));
      sent++;
      // An engine that is added is asked at once, and cannot be reached here: that is its failure, not the server's.
      if (answer.status >= 500 && answer.body.error?.code !== "engine_unreachable")
        failures.push({ method, address: address.slice(0, 200), body: made.body, answer: answer.body });
    }
  }
  expect(failures.slice(0, 5)).toEqual([]);
  expect(sent).toBe(operations.length * 30);
  expect((await at.request("/api/status")).status).toBe(200);
});

/** Percent-encoded; a half of a surrogate pair as the bytes that UTF-8 would give it, which are not valid. */
function encoded(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text).replaceAll("..", "%2e%2e") : "%ED%A0%80";
}
