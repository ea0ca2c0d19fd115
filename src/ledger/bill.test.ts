// Usage of periods by the rollup is what counting the settlements themselves answers, whatever was posted in which order.
import { expect, test } from "vitest";
import { testDatabase } from "../store/testing.ts";
import type { Database } from "../store/index.ts";
import { readBill } from "./bill.ts";
import { beginProcess, makeOrganisation, randomFrom, type Process, type Settled } from "./leases/testing.ts";
import { readUsage, type UsageOf } from "./usage.ts";

const hourMs = 60 * 60_000;
const beginning = Date.UTC(2026, 10, 1);

/** The same by one statement over all settlements. */
async function counted(db: Database, of: UsageOf) {
  const { rows } = await db.query<Record<string, bigint> & { agent: string | null }>(
    `select agent, count(distinct run) as runs, count(distinct call) as calls, sum(prompt_tokens) as prompt, sum(output_tokens) as output,
       sum(amount_nano) as cost
     from settlements
     where organisation = $1 and counted_at >= $2 and ($3::timestamptz is null or counted_at < $3)
       and ($4::text is null or agent = $4) and ($5::text is null or project = $5)
     group by agent`,
    [of.organisation, of.from, of.to ?? null, of.agent ?? null, of.project ?? null],
  );
  return rows
    .map((row) =>
      [row.agent ?? undefined, row["runs"], row["calls"], row["prompt"], row["output"], row["cost"]]
        .map(String)
        .join(" "),
    )
    .toSorted();
}

async function read(db: Database, of: UsageOf) {
  const usage = await readUsage(db, of);
  return usage
    .map((row) =>
      [row.agent, row.runs, row.calls, row.promptTokens, row.outputTokens, row.costNano].map(String).join(" "),
    )
    .toSorted();
}

/** Attempts of six days in random order: runs and calls that go on for days, agents in two projects, calls outside runs. */
function settledBy(random: () => number, name: string): Settled & { call?: string } {
  const pick = (most: number) => Math.floor(random() * most);
  const run = random() < 0.7 ? pick(5) : undefined;
  const owner = run ?? 5 + pick(3);
  return {
    attempt: name,
    amountNano: BigInt(pick(50)),
    countedAt: new Date(beginning + pick(6 * 24) * hourMs + pick(3) * 1800_000),
    project: `prj_${owner % 2}`,
    ...(run !== undefined && { run: `run_${run}`, agent: `agt_${run % 3}` }),
    call: `call_${owner}_${pick(12)}`,
  };
}

test.each([1, 2, 3, 4])("of any half-open period, agent and project (seed %i)", async (seed) => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const random = randomFrom(seed);
  const processes: Process[] = [await beginProcess(db), await beginProcess(db)];
  for (let batch = 0; batch < 12; batch++) {
    const size = 1 + Math.floor(random() * 12);
    const settled = Array.from({ length: size }, (_, index) => settledBy(random, `att_${batch}_${index}`));
    await processes[batch % 2]!.post(settled);
  }
  for (let period = 0; period < 60; period++) {
    const moment = () => new Date(beginning + Math.floor(random() * 7 * 48 - 24) * (hourMs / 2));
    const of: UsageOf = {
      organisation: "org_1",
      from: moment(),
      to: random() < 0.2 ? undefined : moment(),
      agent: random() < 0.3 ? `agt_${Math.floor(random() * 3)}` : undefined,
      project: random() < 0.3 ? `prj_${Math.floor(random() * 2)}` : undefined,
    };
    expect(await read(db, of), JSON.stringify(of)).toEqual(await counted(db, of));
  }
});

test("two processes that post a run's first attempts of a day at once count it once", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const processes = await Promise.all(Array.from({ length: 4 }, () => beginProcess(db)));
  await Promise.all(
    processes.flatMap((process, index) => [
      process.post([
        {
          attempt: `att_${index}`,
          amountNano: 1n,
          agent: "agt_1",
          run: "run_1",
          countedAt: new Date(beginning + (index % 2) * 24 * hourMs),
        },
      ]),
    ]),
  );
  const of = { organisation: "org_1", from: new Date(0), to: undefined, agent: undefined, project: undefined };
  expect(await readUsage(db, of)).toMatchObject([{ agent: "agt_1", runs: 1, calls: 4, costNano: 4n }]);
});

test("a bill says up to when everything is posted, and is closed once that is the end of its period", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const process = await beginProcess(db);
  const bill = (to: Date) => readBill(db, "org_1", { to });
  const began = new Date();
  await process.post([{ attempt: "att_1", amountNano: 5n }]);
  const through = (await bill(began)).standing.completeThrough;
  expect(through.getTime()).toBeGreaterThanOrEqual(began.getTime());
  expect(await bill(through)).toMatchObject({ isClosed: true });
  expect(await bill(new Date(through.getTime() + 1))).toMatchObject({ isClosed: false });
  expect(await readBill(db, "org_1", {})).toMatchObject({ isClosed: false, total: { tokenCostNano: 5n } });
});
