import { expect, test } from "vitest";
import { createLogger } from "./logger.ts";
import { LiveEvents } from "./live.ts";
import { createMetrics } from "./metrics.ts";

const org = { organisation: "org", project: "p" };
const event = (number: number) => ({ type: "call", number });

async function take<Event>(events: AsyncIterable<Event>, count: number): Promise<Event[]> {
  const taken: Event[] = [];
  for await (const one of events) if (taken.push(one) === count) break;
  return taken;
}

test("a reader gets what happens after it came, in order", async () => {
  const live = new LiveEvents<ReturnType<typeof event>>({ epoch: "e", now: () => 36 });
  live.publish(org, event(0));
  const reader = take(live.subscribe(org), 2);
  await Promise.resolve();
  for (const number of [1, 2]) live.publish(org, event(number));
  live.publish({ organisation: "another", project: "p" }, event(99));
  expect(await reader).toEqual([
    { id: "e.1.10", event: event(1) },
    { id: "e.2.10", event: event(2) },
  ]);
});

test("one that comes back gets what it missed, as far as it is kept", async () => {
  const live = new LiveEvents<ReturnType<typeof event>>({ size: 3, epoch: "e" });
  for (let number = 0; number < 5; number++) live.publish(org, event(number));
  const numbers = async (last: string, count: number) =>
    (await take(live.subscribe(org, last), count)).map((one) => one.event.number);
  expect(await numbers("e.3", 1)).toEqual([4]);
  expect(await numbers("e.0", 3)).toEqual([2, 3, 4]);
  expect(await numbers("earlier-process.4", 3)).toEqual([2, 3, 4]);
  expect(await numbers("nonsense", 3)).toEqual([2, 3, 4]);
});

test("one that comes back to another process goes on a moment before its last event: it may see some again and misses none", async () => {
  let now = 1_000_000;
  const live = new LiveEvents<ReturnType<typeof event>>({ size: 10, epoch: "other", now: () => now });
  for (let number = 0; number < 5; number++, now += 1_000) live.publish(org, event(number));
  const first = async (last: string) => (await take(live.subscribe(org, last), 1))[0]!.event.number;
  const at = (number: number) => (1_000_000 + number * 1_000).toString(36);
  expect(await first(`here.77.${at(3)}`)).toBe(2);
  expect(await first(`here.77.${at(1)}`)).toBe(0);
  // After everything that is kept: what comes next.
  const reader = take(live.subscribe(org, `here.77.${at(60)}`), 1);
  await Promise.resolve();
  live.publish(org, event(99));
  expect((await reader)[0]!.event.number).toBe(99);
});

test("a slow reader is passed over and sees it in the ids", async () => {
  const live = new LiveEvents<ReturnType<typeof event>>({ size: 3, epoch: "e", now: () => 36 });
  const reader = live.subscribe(org);
  const first = reader.next();
  live.publish(org, event(0));
  await first;
  for (let number = 1; number < 10; number++) live.publish(org, event(number));
  expect((await reader.next()).value).toMatchObject({ id: "e.7.10" });
});

test("a reader ends when its signal aborts, while it waits", async () => {
  const live = new LiveEvents();
  const stop = new AbortController();
  const reader = take(live.subscribe(org, undefined, stop.signal), 1);
  stop.abort();
  expect(await reader).toEqual([]);
});

test("fields that hold secrets or words are masked, whatever they are given", () => {
  const lines: string[] = [];
  const log = createLogger({ level: "info", destination: { write: (line) => void lines.push(line) } });
  log.info(
    { authorization: "s1", request: { "x-api-key": "s2", body: "s3" }, messages: ["s4"], call: "call_1" },
    "hello",
  );
  log.debug("not at this level");
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toMatch(/s[1-4]/);
  expect(JSON.parse(lines[0]!)).toMatchObject({
    level: "info",
    call: "call_1",
    msg: "hello",
    authorization: "[redacted]",
  });
});

test("an unknown level does not stop a start", () => {
  expect(createLogger({ level: "loud" }).level).toBe("warn");
});

test("model names past the bound are counted together", async () => {
  const metrics = createMetrics({ process: false });
  for (let model = 0; model < 300; model++)
    metrics.callEnded({ model: `m${model}`, outcome: "completed", durationMs: 1 });
  const text = await metrics.registry.metrics();
  expect(text).toContain('lineshaft_calls_total{model="other",outcome="completed"} 100');
});

test("what is counted is what is shown", async () => {
  const metrics = createMetrics({ process: false });
  metrics.callEnded({ model: "m", outcome: "completed", durationMs: 40, firstTokenMs: 20 });
  metrics.callEnded({ model: "m", outcome: "failed", durationMs: 700_000 });
  metrics.tokensUsed("m", { prompt: 10, cached: 4, output: 3 });
  metrics.attemptEnded({ engine: "e", outcome: "completed" });
  metrics.holdOpened();
  metrics.budgetRefused("project");
  metrics.cachedGap("e", 5, 8);
  metrics.engineUp("e", true);
  const text = await metrics.registry.metrics();
  for (const line of [
    'lineshaft_calls_total{model="m",outcome="completed"} 1',
    'lineshaft_calls_total{model="m",outcome="failed"} 1',
    'lineshaft_tokens_total{model="m",kind="uncached"} 6',
    'lineshaft_tokens_total{model="m",kind="cached"} 4',
    'lineshaft_attempts_total{engine="e",outcome="completed"} 1',
    'lineshaft_cached_share{model="m"} 0.4',
    "lineshaft_holds_open 1",
    'lineshaft_budget_refusals_total{scope="project"} 1',
    'lineshaft_cached_tokens_gap_total{engine="e"} 3',
    'lineshaft_engine_up{engine="e"} 1',
    'lineshaft_time_to_first_token_seconds_bucket{le="0.01",model="m"} 0',
    'lineshaft_time_to_first_token_seconds_bucket{le="0.025",model="m"} 1',
    'lineshaft_time_to_first_token_seconds_bucket{le="+Inf",model="m"} 1',
    'lineshaft_time_to_first_token_seconds_count{model="m"} 1',
    'lineshaft_call_duration_seconds_bucket{le="600",model="m"} 1',
    'lineshaft_call_duration_seconds_bucket{le="+Inf",model="m"} 2',
    'lineshaft_call_duration_seconds_sum{model="m"} 700.04',
  ])
    expect(text.split("\n")).toContain(line);
  expect(text).toContain("# TYPE lineshaft_call_duration_seconds histogram");
  // Asked twice, it shows the same.
  expect(await metrics.registry.metrics()).toBe(text);
});
