// `npm run fuzz`: fuzzing guided by coverage. An input that reaches code which no input before it reached is kept and changed further, so
// that the search works its way into readers which random inputs hardly enter. V8's own block coverage says what is new; it works on the
// sources as they are, where instrumenting fuzzers for JavaScript need CommonJS.
//
// Options: --minutes N for all targets together (10 when absent), --only TEXT for targets whose name has it, --seed N. A find is written to
// corpus/TARGET/ and printed; the program then ends with 1.
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { mutated } from "./mutate.ts";
import { targets, type Target } from "./targets.ts";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    only: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
  },
});

/** A larger input is not kept: the search would spend its time on copying. */
const mostBytes = 64 * 1024;
/** An input that holds its reader for longer is a find: a thousand times what the slowest of the seeds takes. */
const mostMs = 2_000;
const mostKept = 4_000;
/** Asking V8 takes 8 ms: inputs run in batches, and those of a batch that reached something new run again one by one. */
const batchInputs = 64;

const session = new Session();
session.connect();

/** Asks the inspector, which answers before it returns: its session is in this thread. */
function ask(method: string, parameters: object = {}): any {
  let answer: any;
  session.post(method, parameters, (error, result) => {
    if (error) throw error;
    answer = result;
  });
  return answer;
}

/** Places of blocks by the script that holds them, as V8 counts them since the last time it was asked. */
interface Covered {
  result: {
    url: string;
    functions: { ranges: { startOffset: number; endOffset: number; count: number }[] }[];
  }[];
}

const reached = new Set<string>();

/** Blocks of Lineshaft's sources that have run since it was last asked, and never before. */
function newlyReached(): string[] {
  const { result } = ask("Profiler.takePreciseCoverage") as Covered;
  const places: string[] = [];
  for (const { url, functions } of result) {
    if (!url.includes("/src/")) continue;
    for (const { ranges } of functions)
      for (const { startOffset, endOffset, count } of ranges) {
        const place = `${url}:${startOffset}:${endOffset}`;
        if (count > 0 && !reached.has(place)) places.push(place);
      }
  }
  return places;
}

/** A generator of the family of xorshift, because Math.random cannot be seeded. */
function seeded(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 4_294_967_296;
  };
}

function fuzz(target: Target, untilMs: number, random: () => number): boolean {
  const pool = [...target.seeds];
  let runs = 0;
  /** Answers whether the input is a find. */
  const attempt = (input: Buffer): boolean => {
    runs++;
    const beganMs = performance.now();
    try {
      target.run(input);
    } catch (error) {
      keep(target, input, error);
      return true;
    }
    const tookMs = performance.now() - beganMs;
    if (tookMs <= mostMs) return false;
    keep(target, input, new Error(`It held its reader for ${Math.round(tookMs)} ms.`));
    return true;
  };
  let found = target.seeds.some(attempt);
  for (const place of newlyReached()) reached.add(place);
  const before = reached.size;
  const pick = () => pool[Math.floor(random() * pool.length)]!;
  while (!found && performance.now() < untilMs) {
    const batch = Array.from({ length: batchInputs }, () => mutated(pick(), pick(), random));
    found = batch.some(attempt);
    if (found || newlyReached().length === 0) continue;
    for (const input of batch) {
      attempt(input);
      const places = newlyReached();
      for (const place of places) reached.add(place);
      if (places.length > 0 && input.length <= mostBytes && pool.length < mostKept) pool.push(input);
    }
  }
  const kept = pool.length - target.seeds.length;
  console.log(
    `${target.name.padEnd(36)} ${String(runs).padStart(9)} inputs  ${String(kept).padStart(5)} kept  ${String(reached.size - before).padStart(5)} more blocks  ${found ? "FOUND" : "nothing found"}`,
  );
  return found;
}

function keep(target: Target, input: Buffer, error: unknown): void {
  const folder = join(import.meta.dirname, "corpus", target.name.replaceAll(/[^a-z0-9]+/gi, "-"));
  mkdirSync(folder, { recursive: true });
  const path = join(folder, createHash("sha256").update(input).digest("hex").slice(0, 12));
  writeFileSync(path, input);
  console.log(
    `FOUND by ${target.name}: ${(error as Error).stack ?? String(error)}\n  ${input.subarray(0, 300).toString("utf8")}\n  kept in ${path}`,
  );
}

ask("Profiler.enable");
ask("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
const wanted = targets().filter(({ name }) => name.includes(options.only));
const shareMs = (Number(options.minutes) * 60_000) / wanted.length;
const random = seeded(Number(options.seed));
let finds = 0;
for (const target of wanted) if (fuzz(target, performance.now() + shareMs, random)) finds++;
console.log(`${wanted.length - finds} passed, ${finds} failed`);
process.exit(finds === 0 ? 0 : 1);
