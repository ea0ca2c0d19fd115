// Every route and every kind of caller: what is answered, and whether the answer shows the thing that the route is about. Callers are an
// owner, a member of the same project, an owner and a member of another project of the same organisation, an owner of another
// organisation, a request without a key, and a key that was revoked. The last two get 401 everywhere but on the public routes.
import { afterAll, beforeAll, expect, test } from "vitest";
import { chatCall } from "../../src/gateway/index.ts";
import { routeActions } from "../../src/gateway/protocols/registry.ts";
import { everyRoute } from "../../src/api/testing/everyRoute.ts";
import { everybody, type Five } from "./authorisation/row.ts";
import { table } from "./authorisation/table.ts";
import { authorisationWorld, callers, type Caller, type World } from "./authorisation/world.ts";

/** Lineshaft's own code: Google's errors have a status as their code, and name ours as the reason. */
const codeIn = ({ code, details }: { code: unknown; details?: { reason?: string }[] }): unknown =>
  typeof code === "number" ? details?.[0]?.reason : code;

let world: World;
beforeAll(async () => {
  world = await authorisationWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

test.each(table)("$route", async ({ route, path, body, shows, before, answers }) => {
  const [method, address] = route.split(" ") as [string, string];
  const got: Partial<Record<Caller, string>> = {};
  for (const caller of callers) {
    await before?.(world);
    const given = body?.(caller, world);
    const key = world.keys[caller];
    const stop = new AbortController();
    const response = await fetch(world.at.address + (path?.(world) ?? address), {
      method,
      signal: stop.signal,
      headers: { "content-type": "application/json", ...(key !== undefined && { authorization: `Bearer ${key}` }) },
      ...(given !== undefined && { body: JSON.stringify(given) }),
    });
    const endless = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
    const text = endless ? "" : await response.text();
    if (endless) stop.abort();
    const code = response.status < 400 ? "" : ` ${codeIn(JSON.parse(text).error)}`;
    const seen = response.status < 400 && shows && text.includes(shows(world)) ? " shows it" : "";
    got[caller] = `${response.status}${code}${seen}`;
  }
  const refused = "401 invalid_api_key";
  const [owner, member, otherOwner, otherMember, stranger] =
    answers === everybody ? (Array.from({ length: 5 }, () => everybody) as Five) : answers;
  const [none, revoked] = answers === everybody ? [everybody, everybody] : [refused, refused];
  expect(got).toEqual({ none, revoked, owner, member, otherOwner, otherMember, stranger });
});

test("the table has every route, the console's pages apart", () => {
  const routes = new Set(table.map(({ route }) => route.replaceAll(/\{(\w+)\}/g, ":$1")));
  const served = [...everyRoute().declarations.keys(), ...routeActions.keys()];
  const missing = served.filter((route) => !routes.has(route));
  expect(missing).toEqual(["GET /", "GET /console", "GET /console/*"]);
});

test.each([
  ["a field that is not known", "POST", "/api/keys", { name: "k", rol: "member" }, 400],
  ["a value that is not allowed", "PUT", "/api/budgets", { scope: { kind: "house", id: "x" }, limit_nano: "1" }, 400],
  ["a run that is not there", "POST", "/api/runs/run_none/effects", { key: "e", happened: true, note: "Seen." }, 404],
])("%s is said to a member before its role is", async (_, method, path, body, status) => {
  const headers = { authorization: `Bearer ${world.keys.member}` };
  expect((await world.at.request(path, { method, headers, body: JSON.stringify(body) })).status).toBe(status);
});

test("the key that started a run settles its effects only while it is the only owner's", async () => {
  await world.unknownEffect("another effect", "run_owners");
  const settle = () => {
    const body = JSON.stringify({ key: "another effect", happened: true, note: "Seen." });
    return world.at.request("/api/runs/run_owners/effects", { method: "POST", body });
  };
  const refused = await settle();
  expect(refused).toMatchObject({ status: 403, body: { error: { code: "attestation_own_run" } } });
  await world.at.db.query(
    "update keys set revoked_at = now() where role = 'owner' and organisation = $1 and id <> $2",
    [world.at.principal.organisation, world.at.principal.key],
  );
  expect((await settle()).status).toBe(200);
});

test("a call that the gateway cannot decide on is refused, recorded, and sent to no engine", async () => {
  const { at } = world;
  const undecidable = Object.defineProperty({ ...at.principal }, "kind", {
    get: () => {
      throw new Error("away");
    },
  });
  const sent = at.engine.seen.length;
  const refused = at.gateway.call({
    principal: undecidable,
    asked: chatCall({ model: "scripted", messages: [{ role: "user", parts: [{ kind: "text", text: "hi" }] }] }),
    id: "call_undecided",
  });
  await expect(refused).rejects.toMatchObject({ status: 403, code: "action_denied" });
  expect(at.engine.seen).toHaveLength(sent);
  await at.gateway.flushed();
  expect((await at.request("/api/calls/call_undecided")).body).toMatchObject({
    status: "refused",
    error_code: "action_denied",
    attempts: [],
  });
});
