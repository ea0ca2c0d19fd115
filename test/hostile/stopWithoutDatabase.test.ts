// A stop while Postgres is away: frozen, so that it neither refuses nor answers, and killed, so that it refuses. The stop ends in time and
// says what is not posted; nothing of it is lost, and the next start posts it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scriptedEngine } from "../../src/engines/testing.ts";
import { ownPostgres } from "../../src/store/testing.ts";
import { startInstance, type Instance } from "../setup/instance.ts";

/** Above the five seconds that are promised (src/instance/undo.test.ts adds up the parts): a machine may be slow, a hang is for ever. */
const hangMs = 60_000;
const callsAway = 12;

const price = {
  currency: "USD",
  input_nano_per_million: "3000000",
  cached_nano_per_million: "3000000",
  output_nano_per_million: "7000000",
};

const hello = { model: "scripted", messages: [{ role: "user", content: "hi" }], max_tokens: 10 };

const send = (at: Instance, path: string, method: string, body?: object) =>
  fetch(`${at.address}${path}`, {
    method,
    headers: { authorization: `Bearer ${at.key}`, "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
const posted = (at: Instance, path: string, body: object) => send(at, path, "POST", body);

async function asked(at: Instance, path: string, body?: object, method = body ? "POST" : "GET"): Promise<any> {
  const response = await send(at, path, method, body);
  expect(response.status, path).toBeLessThan(300);
  return response.json();
}

test.each(["frozen", "killed"] as const)("Postgres %s", { timeout: 240_000 }, async (how) => {
  await using server = await ownPostgres();
  await using engine = await scriptedEngine();
  const home = mkdtempSync(join(tmpdir(), "lineshaft-stop-away-"));
  using _folder = { [Symbol.dispose]: () => rmSync(home, { recursive: true, force: true, maxRetries: 5 }) };
  const env = { DATABASE_URL: server.url, LINESHAFT_MIGRATION_URL: server.ownerUrl, LINESHAFT_REPLICAS: "0" };
  /** A whole call; answers the id of its record. */
  const call = async (at: Instance): Promise<string> => {
    const answer = await posted(at, "/v1/chat/completions", hello);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    return answer.headers.get("x-lineshaft-call")!;
  };
  const ids: string[] = [];
  {
    await using instance = await startInstance({ home, env });
    await asked(instance, "/api/engines", { name: "scripted", urls: [engine.url], model: "scripted", price });
    const { project } = await asked(instance, "/api/status");
    const budget = { scope: { kind: "project", id: project.id }, limit_nano: "1000000000", period: "total" };
    await asked(instance, "/api/budgets", budget, "PUT");
    // Leases money, and makes the process know its scopes and prices.
    for (let number = 0; number < 3; number++) ids.push(await call(instance));
    await asked(instance, "/api/calls");
    // One call runs while the database goes, and is cut by the stop.
    engine.next({ wait: new Promise(() => {}) });
    const cut = posted(instance, "/v1/chat/completions", hello);
    cut.catch(() => {});
    await expect.poll(() => engine.seen.length, { timeout: hangMs }).toBeGreaterThanOrEqual(4);

    if (how === "frozen") server.freeze();
    else await server.kill();
    for (let number = 0; number < callsAway; number++) ids.push(await call(instance));
    const begun = performance.now();
    const code = await instance.end("SIGTERM");
    const tookMs = performance.now() - begun;
    console.log(`stopped in ${Math.round(tookMs)} ms with Postgres ${how}`);
    expect(code, instance.output()).toBe(0);
    expect(tookMs).toBeLessThan(hangMs);
    const said = instance.output().match(/(\d+) records of calls are in the spool and not in the database/);
    // A hold, a mark, a settlement and a record for each call.
    expect(Number(said?.[1]), instance.output()).toBeGreaterThanOrEqual(4 * callsAway);
    expect(instance.output()).toContain("the next start settles it");
  }
  if (how === "frozen") server.thaw();
  else await server.start();

  await using next = await startInstance({ home, env });
  const recorded = async () =>
    (await asked(next, "/api/calls?limit=100")).data as { id: string; status: string; price_nano: string }[];
  await expect.poll(async () => (await recorded()).length, { timeout: hangMs }).toBe(ids.length + 1);
  const calls = await recorded();
  expect(
    calls
      .filter(({ status }) => status === "completed")
      .map(({ id }) => id)
      .toSorted(),
  ).toEqual(ids.toSorted());
  await using db = server.open();
  const openEpochs = async () =>
    Number(
      (await db.query<{ open: bigint }>("select count(*) - 1 as open from epochs where state = 'live'")).rows[0]!.open,
    );
  await expect.poll(openEpochs, { timeout: hangMs }).toBe(0);
  const { budgets, prices } = (
    await db.query<Record<"budgets" | "prices", bigint>>(
      "select (select sum(spent_nano) from budgets) as budgets, (select sum(amount_nano) from settlements) as prices",
    )
  ).rows[0]!;
  expect(calls.reduce((sum, one) => sum + BigInt(one.price_nano), 0n)).toBe(BigInt(prices));
  expect(BigInt(budgets)).toBe(BigInt(prices));
  const proof = await asked(next, "/api/proofs", {});
  expect(proof).toMatchObject({ discrepancies: [] });
});
