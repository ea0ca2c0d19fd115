// One process of bench:ledger: `process.ts WORK` (JSON). It prints `ready`, begins at the first byte of its input, and prints what it did.
import type { Done, Work } from "./work.ts";

const work = JSON.parse(process.argv[2]!) as Work;
const path =
  work.path === "old"
    ? (await import("./rival.ts")).openRival(work.url)
    : await (await import("./leased.ts")).openLeased(work.url, work.spools, work.path === "exact");

const latencies: number[] = [];
let until = performance.now() + 1000;
/** Each account has had its leases before the measure begins. */
let least = 4 * work.accounts;
let next = 0;

/** One call after the other, with a turn of the event loop between them as a real call has. */
async function writer(): Promise<void> {
  while (performance.now() < until || next < least) {
    latencies.push(await path.call(next++ % work.accounts));
    await new Promise((resolve) => setImmediate(resolve));
  }
}
const writers = () => Promise.all(Array.from({ length: work.writers }, writer));

await writers();
latencies.length = 0;
process.stdout.write("ready\n");
await new Promise((resolve) => process.stdin.once("data", resolve));

const cpu = process.cpuUsage();
const began = performance.now();
until = began + work.seconds * 1000;
least = 0;
await writers();
const loadMs = performance.now() - began;
await path.close();
const wholeMs = performance.now() - began;
const { user, system } = process.cpuUsage(cpu);
latencies.sort((a, b) => a - b);
const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? 0;
const done: Done = { calls: latencies.length, p50: at(0.5), p99: at(0.99), loadMs, wholeMs, cpuMicros: user + system };
process.stdout.write(`${JSON.stringify(done)}\n`);
process.exit(0);
