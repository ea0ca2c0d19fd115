// The one pool of the process for schemas, values and YAML of callers. It starts no thread before its first task and keeps no process alive.
import { limits } from "./limits.ts";
import type { BoundedTask } from "./thread.ts";
import { ThreadPool } from "./threads.ts";

export const pool = new ThreadPool({
  file: new URL("./thread.ts", import.meta.url),
  threads: limits.threads,
  cpuMs: limits.taskCpuMs,
  wallMs: limits.taskWallMs,
  resources: { maxOldGenerationSizeMb: limits.threadMemoryMb, maxYoungGenerationSizeMb: 32 },
  waitingPerGroup: limits.waitingPerGroup,
  waitingTasks: limits.waitingTasks,
});

export const inThread = <Result>(group: string, task: BoundedTask): Promise<Result> => pool.run<Result>(group, task);
