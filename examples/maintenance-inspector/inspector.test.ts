// The example's own parts: readings by the published rules, the verifier beside them, the orders' file, and the panel's report.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { WorkOrders } from "./orders.ts";
import { exceededLimits, failureModes, generateMachines, powerOf, readCsv, type Readings } from "./readings.ts";
import { reportOf } from "./server.ts";
// @ts-expect-error The verifier is plain JavaScript, as it is deployed.
import verify from "./verifier.js";

const judge = verify as (evidence: unknown) => { verdict: string; reason: string };
const folder = mkdtempSync(join(tmpdir(), "lineshaft-inspector-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sound: Readings = {
  machine: "M-1",
  variant: "L",
  air_temperature_k: 300,
  process_temperature_k: 310,
  rotational_speed_rpm: 1500,
  torque_nm: 40,
  tool_wear_min: 100,
};

describe("the published rules", () => {
  test.each<[string, Partial<Readings>, string[]]>([
    ["sound", {}, []],
    ["8.6 K is enough", { air_temperature_k: 301.9, process_temperature_k: 310.5, rotational_speed_rpm: 1379 }, []],
    [
      "8.5 K is not",
      { air_temperature_k: 302, process_temperature_k: 310.5, rotational_speed_rpm: 1379 },
      ["heat_dissipation"],
    ],
    ["unless it turns fast", { air_temperature_k: 302, process_temperature_k: 310.5, rotational_speed_rpm: 1380 }, []],
    ["too little power", { torque_nm: 22 }, ["power"]],
    ["too much power", { torque_nm: 58 }, ["power"]],
    ["strain at the limit", { torque_nm: 55, tool_wear_min: 200, rotational_speed_rpm: 1500 }, ["tool_wear"]],
    ["strain over it", { torque_nm: 55, tool_wear_min: 201, rotational_speed_rpm: 1500 }, ["tool_wear", "overstrain"]],
    [
      "a harder variant bears more",
      { variant: "M", torque_nm: 55, tool_wear_min: 199, rotational_speed_rpm: 1500 },
      [],
    ],
  ])("%s", (_what, change, modes) => {
    expect(exceededLimits({ ...sound, ...change }).map(({ mode }) => mode)).toEqual(modes);
  });

  test("power is torque times angular speed", () => {
    expect(powerOf({ ...sound, torque_nm: 10, rotational_speed_rpm: 60 })).toBeCloseTo(62.83, 2);
  });
});

test("the same seed draws the same machines, each with exactly one mode, all modes among them", () => {
  const machines = generateMachines(200, 5);
  expect(generateMachines(200, 5)).toEqual(machines);
  expect(generateMachines(200, 6)).not.toEqual(machines);
  const modes = machines.map((readings) => exceededLimits(readings).map(({ mode }) => mode));
  expect(Math.max(...modes.map(({ length }) => length))).toBe(1);
  expect(new Set(modes.map(([mode]) => mode ?? "none"))).toEqual(new Set(failureModes));
});

test("the verifier agrees with the rules on every machine and every decision", () => {
  for (const readings of generateMachines(300, 9)) {
    const truth = exceededLimits(readings)[0]?.mode ?? "none";
    for (const failure_mode of failureModes) {
      const { verdict } = judge({ readings, order: { machine: readings.machine, failure_mode } });
      expect([readings.machine, failure_mode, verdict]).toEqual([
        ...[readings.machine, failure_mode, failure_mode === truth ? "passed" : "failed"],
      ]);
    }
  }
});

test.each([
  ["an order for another machine", { machine: "M-2", failure_mode: "none" }],
  ["a mode that does not exist", { machine: "M-1", failure_mode: "toString" }],
  ["no order", undefined],
])("the verifier fails %s", (_what, order) => {
  expect(judge({ readings: sound, order }).verdict).toBe("failed");
});

test("the panel says which limit is exceeded; bare readings do not", () => {
  const hot = { ...sound, air_temperature_k: 302, rotational_speed_rpm: 1300 };
  expect(reportOf(hot, false)).toBe(
    "Machine M-1. Limit exceeded: heat dissipation limit, 8.0 K is under 8.6 K at 1300 rpm.",
  );
  expect(reportOf(hot, true)).toBe(
    "Machine M-1. Type L, air 302 K, process 310 K, 1300 rpm, torque 40 Nm, tool wear 100 min.",
  );
});

test("the real data set's columns are read", () => {
  const path = join(folder, "ai4i2020.csv");
  writeFileSync(
    path,
    "\uFEFFUDI,Product ID,Type,Air temperature [K],Process temperature [K],Rotational speed [rpm],Torque [Nm],Tool wear [min],Machine failure\r\n" +
      "1,M14860,M,298.1,308.6,1551,42.8,0,0\r\n2,L47181,L,298.2,308.7,1408,46.3,3,0\r\n",
  );
  expect(readCsv(path)).toEqual([
    {
      machine: "M14860",
      variant: "M",
      air_temperature_k: 298.1,
      process_temperature_k: 308.6,
      rotational_speed_rpm: 1551,
      torque_nm: 42.8,
      tool_wear_min: 0,
    },
    expect.objectContaining({ machine: "L47181", variant: "L" }),
  ]);
  writeFileSync(path, "a,b\n1,2\n");
  expect(() => readCsv(path)).toThrow("no column 'Product ID'");
});

test("one order per key, also after a crash in the middle of a line", () => {
  const path = join(folder, "orders.jsonl");
  const request = { machine: "M-1", failure_mode: "power", reason: "r" };
  const orders = new WorkOrders(path);
  const first = orders.open("key-1", request, new Date(0));
  expect(orders.open("key-1", { ...request, reason: "other" }, new Date(1))).toEqual(first);
  orders.close();
  appendFileSync(path, '{"key":"key-2","order":{"num');
  const again = new WorkOrders(path);
  expect([again.count, again.find("key-1"), again.find("key-2")]).toEqual([1, first, undefined]);
  again.open("key-2", request, new Date(2));
  again.close();
  expect(readFileSync(path, "utf8").trim().split("\n")).toHaveLength(2);
});
