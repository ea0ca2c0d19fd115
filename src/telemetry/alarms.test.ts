// Alarms: one row per trouble, four receivers, and bounds that hold whatever is raised how often.
import { expect, test } from "vitest";
import { Alarms, type AlarmChange } from "./alarms.ts";
import { limits } from "./limits.ts";
import { createLogger } from "./logger.ts";
import { createMetrics } from "./metrics.ts";

function house() {
  const lines: string[] = [];
  const log = createLogger({ level: "info", destination: { write: (line) => void lines.push(line) } });
  const metrics = createMetrics({ process: false });
  const clock = { ms: 1_000 };
  const alarms = new Alarms({ log, metrics, now: () => clock.ms });
  const changes: AlarmChange[] = [];
  alarms.onChange((change) => changes.push(change));
  return { alarms, lines, clock, changes, text: () => metrics.registry.metrics() };
}
const excess = { code: "usage_excess", message: "The engine claims more than was held.", subject: "gpt" };

test("an alarm reaches the log, the metrics, the list and the listeners", async () => {
  const { alarms, lines, changes, text } = house();
  alarms.raise({ ...excess, organisation: "org_1" });
  expect(JSON.parse(lines[0]!)).toMatchObject({
    level: "error",
    alarm: "usage_excess",
    subject: "gpt",
    msg: excess.message,
  });
  expect(await text()).toContain('lineshaft_alarms_total{code="usage_excess"} 1');
  expect(await text()).toContain('lineshaft_alarms_active{code="usage_excess"} 1');
  expect(alarms.list("org_1")).toMatchObject([{ code: "usage_excess", count: 1, firstAt: new Date(1_000) }]);
  expect(changes).toMatchObject([{ change: "raised", alarm: { code: "usage_excess" } }]);
});

test("the same trouble again is counted, and logged once a minute", () => {
  const { alarms, lines, clock, changes } = house();
  for (let time = 0; time < 1000; time++) alarms.raise(excess);
  expect(lines).toHaveLength(1);
  clock.ms += limits.alarmLogEveryMs;
  alarms.raise(excess);
  expect(lines).toHaveLength(2);
  expect(changes).toHaveLength(2);
  expect(alarms.list()).toMatchObject([{ count: 1001, firstAt: new Date(1_000), lastAt: new Date(clock.ms) }]);
});

test("an organisation sees its own alarms and those of the instance, and dismisses no other's", () => {
  const { alarms } = house();
  alarms.raise({ ...excess, organisation: "org_1" });
  alarms.raise({ code: "storage_full", message: "The disk is full: free some space." });
  expect(alarms.list("org_2").map(({ code }) => code)).toEqual(["storage_full"]);
  const [own] = alarms.list("org_1").filter(({ code }) => code === "usage_excess");
  expect(alarms.dismiss(own!.id, "org_2")).toBeUndefined();
  expect(alarms.dismiss(own!.id, "org_1")).toMatchObject({ code: "usage_excess" });
  expect(alarms.list("org_1").map(({ code }) => code)).toEqual(["storage_full"]);
});

test("a condition that has passed clears its alarm; clearing what does not stand does nothing", async () => {
  const { alarms, changes, text } = house();
  alarms.clear({ code: "storage_full" });
  alarms.raise({ code: "storage_full", message: "The disk is full." });
  alarms.clear({ code: "storage_full" });
  expect(alarms.list()).toEqual([]);
  expect(changes.map(({ change }) => change)).toEqual(["raised", "gone"]);
  expect(await text()).not.toContain('lineshaft_alarms_active{code="storage_full"}');
});

test("no subject and no number of subjects grows memory or breaks a line", () => {
  const { alarms } = house();
  for (let number = 0; number < 3 * limits.alarmsKept; number++)
    alarms.raise({ code: "usage_excess", message: `m\n\0\ud800${"x".repeat(10_000)}`, subject: `${number}` });
  const list = alarms.list();
  expect(list).toHaveLength(limits.alarmsKept);
  expect(list[0]!.subject).toBe(`${3 * limits.alarmsKept - 1}`);
  for (const { message } of list) {
    expect(message.length).toBeLessThanOrEqual(limits.alarmMessageCharacters);
    expect(message.isWellFormed()).toBe(true);
    expect(message).not.toMatch(/\p{Cc}/u);
  }
});

test("a listener that fails stops neither the caller nor the other listeners", () => {
  const { alarms, lines } = house();
  let heard = 0;
  alarms.onChange(() => {
    throw new Error("broken");
  });
  alarms.onChange(() => heard++);
  alarms.raise(excess);
  expect(heard).toBe(1);
  expect(lines.some((line) => line.includes("listener failed"))).toBe(true);
});
