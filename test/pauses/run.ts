// `npm run test:pauses -- --project room FILES`: vitest with the words given, while one process of the run after the other stands still: a
// worker of vitest, a child of a test, or a process of Postgres, chosen by chance, is stopped for up to PAUSE_MOST_MS and goes on again. What
// fails here and not alone depends on timing. A test that stops processes itself may fail because one of them goes on too early.
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../../src/simulator/random.ts";
import { root } from "../lanes.ts";
import { childrenOf, processOf, signal } from "../setup/proc.ts";

const mostMs = Number(process.env["PAUSE_MOST_MS"] ?? 1_500);
const seed = Number(process.env["PAUSE_SEED"] ?? 1);
const random = new Random(seed);

const words = ["node_modules/vitest/vitest.mjs", "run", ...process.argv.slice(2)];
const run = spawn(process.execPath, words, { cwd: root, stdio: "inherit" });
run.once("exit", (code) => (process.exitCode = code ?? 1));

/** Processes below vitest that are not stopped, nor have ended. */
function below(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => {
    const isUp = !["T", "Z", undefined].includes(processOf(child)?.state);
    return [...(isUp ? [child] : []), ...below(child)];
  });
}

let pauses = 0;
while (run.exitCode === null && run.signalCode === null) {
  await sleep(20 + random.below(230));
  const all = below(run.pid!);
  const chosen = all[random.below(all.length)];
  if (chosen === undefined) continue;
  signal(chosen, "SIGSTOP");
  await sleep(Math.min(mostMs, random.exponential(mostMs / 5)));
  signal(chosen, "SIGCONT");
  pauses++;
}
console.log(`${pauses} pauses (PAUSE_SEED=${seed}, PAUSE_MOST_MS=${mostMs})`);
