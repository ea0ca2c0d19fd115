// `lineshaft simulate` and `lineshaft plan` with options of a load, and with files that are no traces.
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { testCli } from "./testing.ts";

const trace = resolve(import.meta.dirname, "../../test/data/traces/kv-cache-tester.json");
const fleet = { pools: [{ name: "cpu", profile: "cpu-smollm2-135m", replicas: 2 }] };

test("a raw session is simulated: starts, gaps, contexts and tenants are options, and arrivals are scaled without gaps", async () => {
  await using cli = await testCli();
  const path = join(cli.home, "fleet.json");
  writeFileSync(path, JSON.stringify(fleet));
  const words = ["simulate", "--fleet", path, "--policy", "least-delay", "--counterfactuals", "0", "--trace", trace];
  const options = [
    "--start-gap",
    "5",
    "--max-gap",
    "2",
    "--copies",
    "2",
    "--tenants",
    "2",
    "--speed",
    "3",
    "--keep-gaps",
  ];
  const ran = await cli.run([...words, ...options]);
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.stdout).toContain("agent sessions: 10 calls on 2 replicas");
  expect(ran.stdout).toContain("with reusable outputs, as simulated");
  expect(ran.stdout).toContain("Gaps longer than 2 s were cut to that.");
  expect(ran.stdout).toContain("arrivals 3 times as fast, gaps inside sessions as they were");
  expect(ran.stdout).toMatch(/least-delay, by tenant\ntenant /);
  const short = await cli.run([...words, "--max-context", "400"]);
  expect(short.stderr + short.stdout).toContain("The workload has no calls.");
  expect(short.code).not.toBe(0);
});

test("the load may stand in the description, of a fleet or of a plan", async () => {
  await using cli = await testCli();
  const workload = { trace, maxGapS: 2 };
  const [fleetPath, planPath] = [join(cli.home, "fleet.json"), join(cli.home, "plan.json")];
  writeFileSync(fleetPath, JSON.stringify({ ...fleet, workload }));
  const candidates = [{ name: "cpu", profile: "cpu-smollm2-135m" }];
  writeFileSync(planPath, JSON.stringify({ candidates, maxReplicas: 2, goodput: 0.1, workload }));
  const simulated = await cli.run(["simulate", "--fleet", fleetPath, "--policy", "random", "--counterfactuals", "0"]);
  expect(simulated.stdout).toContain("agent sessions: 5 calls");
  const planned = await cli.run(["plan", "--plan", planPath]);
  expect(planned).toMatchObject({ code: 0 });
  expect(planned.stdout).toContain("Cheapest: cpu");
});

test("a folder and a file of another kind are told in two lines", async () => {
  await using cli = await testCli();
  const path = join(cli.home, "fleet.json");
  writeFileSync(path, JSON.stringify(fleet));
  mkdirSync(join(cli.home, "traces"));
  for (const [file, said] of [
    [join(cli.home, "traces"), "is a folder"],
    [path, "JSON without the keys of a known format"],
  ] as const) {
    const { code, stderr } = await cli.run(["simulate", "--fleet", path, "--policy", "random", "--trace", file]);
    expect(code).not.toBe(0);
    expect(stderr).toContain(said);
    expect(stderr.trim().split("\n").length).toBeLessThanOrEqual(3);
  }
});
