// Runs jobs in worker processes, one a core, or in this process when one is enough. This file is also what a worker process runs.
import { fork } from "node:child_process";
import { type Job, runJob } from "./job.ts";
import type { Row } from "./row.ts";

type FromWorker = { row: Row } | { idle: true };

/** Runs all jobs on `processes` processes and hands over each row when it is known. Rejects when a worker dies. */
export async function runJobs(jobs: readonly Job[], processes: number, done: (row: Row) => void): Promise<void> {
  if (processes === 1) {
    for (const job of jobs) await runJob(job, done);
    return;
  }
  const left = [...jobs];
  const worker = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(import.meta.filename, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
      child.on("message", (message: FromWorker) => {
        if ("row" in message) return done(message.row);
        const job = left.shift();
        if (job === undefined) child.disconnect();
        else child.send(job);
      });
      child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`A worker process ended with ${code}.`))));
    });
  await Promise.all(Array.from({ length: Math.min(processes, jobs.length) }, worker));
}

if (process.argv[1] === import.meta.filename) {
  process.on("message", (job: Job) => {
    void runJob(job, (row) => process.send!({ row })).then(() => process.send!({ idle: true }));
  });
  process.send!({ idle: true });
}
