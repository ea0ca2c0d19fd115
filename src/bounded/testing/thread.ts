// A thread for tests of the pool: it loops, hoards memory, counts its tasks or repeats what it is told.
import { parentPort } from "node:worker_threads";

let tasks = 0;
parentPort!.on("message", ({ task }: { task: string }) => {
  tasks++;
  if (task === "loop") for (;;);
  const hoard: number[][] = [];
  if (task === "hoard") for (;;) hoard.push(new Array<number>(10_000).fill(1));
  parentPort!.postMessage({ result: task === "count" ? tasks : task });
});
parentPort!.postMessage("ready");
