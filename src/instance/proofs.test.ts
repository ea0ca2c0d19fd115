import { expect, test } from "vitest";
import type { ProofReport } from "../ledger/index.ts";
import { Alarms, createLogger, createMetrics } from "../telemetry/index.ts";
import { backgroundProofs } from "./proofs.ts";

const at = (text: string) => new Date(`2026-11-03T${text}Z`);

function report(
  kind: ProofReport["kind"],
  beganAt: Date,
  rules: ProofReport["discrepancies"][number]["rule"][] = [],
): ProofReport {
  return {
    kind,
    beganAt,
    endedAt: beganAt,
    compared: { settlements: 1, batches: 1, entries: 1, accounts: 1, budgets: 1, days: 1, suspense: 0 },
    discrepancyCount: rules.length,
    discrepancies: rules.map((rule) => ({ rule, id: "it", organisation: "org_1", expected: 1n, found: 2n })),
  };
}

/** Lets the prover look once at these proofs, none of which is due again. */
async function told(...newest: ProofReport[]) {
  const metrics = createMetrics({ process: false });
  const alarms = new Alarms({ log: createLogger({ level: "silent" }), metrics });
  const prover = backgroundProofs({
    ledger: { lastProofs: async () => newest, prove: () => Promise.reject(new Error("none is due")) },
    session: { hold: () => Promise.reject(new Error("none is due")) },
    alarms,
    metrics,
    now: () => at("12:30:00"),
  });
  await prover.look();
  return { alarms: alarms.list("org_1").map(({ code }) => code), text: await metrics.registry.metrics() };
}

test("proofs that found nothing show in the metrics, and raise no alarm", async () => {
  const { alarms, text } = await told(report("incremental", at("12:00:00")), report("whole", at("03:00:00")));
  expect(alarms).toEqual([]);
  expect(text).toContain(`lineshaft_proof_timestamp_seconds{kind="whole"} ${at("03:00:00").getTime() / 1000}`);
  expect(text).toContain(`lineshaft_proof_timestamp_seconds{kind="incremental"} ${at("12:00:00").getTime() / 1000}`);
  expect(text).not.toContain("lineshaft_proof_discrepancies{");
});

test("a proof that found something is an alarm, and is counted by rule", async () => {
  const unequal = report("incremental", at("12:00:00"), ["budget_spent", "budget_spent", "record_missing"]);
  const { alarms, text } = await told(unequal, report("whole", at("03:00:00")));
  expect(alarms).toEqual(["ledger_unequal"]);
  expect(text).toContain('lineshaft_proof_discrepancies{kind="incremental",rule="budget_spent"} 2');
  expect(text).toContain('lineshaft_proof_discrepancies{kind="incremental",rule="record_missing"} 1');
});

test("what a whole proof found stands until a whole proof finds nothing", async () => {
  const unequal = report("whole", at("03:00:00"), ["balance"]);
  expect((await told(report("incremental", at("12:00:00")), unequal)).alarms).toEqual(["ledger_unequal"]);
});

test("what an incremental proof found is answered by a whole one after it", async () => {
  const unequal = report("incremental", at("02:00:00"), ["balance"]);
  expect((await told(report("whole", at("12:00:00")), unequal)).alarms).toEqual([]);
});
