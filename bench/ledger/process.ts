// One process of bench:ledger: `process.ts WORK` (JSON). It prints `ready` and `loaded`, goes on after each when
// something comes in, and prints what it did.
import type { Done, Work } from "./work.ts";

const work = JSON.parse(process.argv[2]!) as Work;
const path =
  work.path === "old"
    ? (await import("./rival.ts")).openRival(work.url)
    : await (await import("./leased.ts")).openLeased(work.url, work.spools, work.path === "exact");

/** Time in which holds alone are made. */
const holdSeconds = work.path === "old" ? 1 : 0.5;

/** Holds at once in that time; an exact budget has room for so many. */
const atOnce = work.path === "exact" ? work.writers : 200;

const latencies: number[] = [];
let until = performance.now() + 1000;
/** Each account has had its leases before the measure begins. */
let least = 4 * work.accounts;
let next = 0;

/** One call after the other, with a turn of the event loop between them as a real call has. */
async function writer(): Promise<void> {
  while (performance.now() < until || next < least) {
    const began = performance.now();
    const end = await path.hold(next++ % work.accounts);
    latencies.push(performance.now() - began);
    await end();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
const writers = () => Promise.all(Array.from({ length: work.writers }, writer));

await writers();
latencies.length = 0;
const told = async (line: string) => {
  process.stdout.write(`${line}\n`);
  await new Promise((resolve) => process.stdin.once("data", resolve));
};
await told("ready");

const cpu = process.cpuUsage();
const began = performance.now();
until = began + work.seconds * 1000;
least = 0;
await writers();
const loadMs = performance.now() - began;
await path.drained();
const wholeMs = performance.now() - began;
const { user, system } = process.cpuUsage(cpu);

await told("loaded");

// Holds alone: many at once, and ended outside the measure.
let holds = 0;
let holdMs = 0;
while (holdMs < holdSeconds * 1000) {
  const began = performance.now();
  const ends = await Promise.all(Array.from({ length: atOnce }, () => path.hold(next++ % work.accounts)));
  holdMs += performance.now() - began;
  holds += ends.length;
  await Promise.all(ends.map((end) => end()));
  // The posting of what was ended is not their price.
  await path.drained();
}
await path.close();
latencies.sort((a, b) => a - b);
const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? 0;
const done: Done = {
  calls: latencies.length,
  p50: at(0.5),
  p99: at(0.99),
  loadMs,
  wholeMs,
  cpuMicros: user + system,
  holdsPerSecond: (holds * 1000) / holdMs,
};
process.stdout.write(`${JSON.stringify(done)}\n`);
process.exit(0);
