// A thread for tests of the pool: it loops, hoards memory, throws, ends, waits, counts its tasks or repeats what it is told.
import { parentPort } from "node:worker_threads";

/** A gate opens when its first number is not 0; the thread's own loop goes on meanwhile. */
type Task = string | { until: Int32Array };

let tasks = 0;
parentPort!.on("message", ({ task }: { task: Task }) => {
  tasks++;
  if (task === "loop") for (;;);
  const hoard: number[][] = [];
  if (task === "hoard") for (;;) hoard.push(new Array<number>(10_000).fill(1));
  if (task === "throw") return parentPort!.postMessage({ error: "It throws." });
  if (task === "exit") process.exit(0);
  if (task === "break") throw new Error("It breaks.");
  if (task === "wait") return;
  if (typeof task === "string") return parentPort!.postMessage({ result: task === "count" ? tasks : task });
  void opened(task.until).then(() => parentPort!.postMessage({ result: "opened" }));
});
parentPort!.postMessage("ready");

async function opened(gate: Int32Array): Promise<void> {
  await Atomics.waitAsync(gate, 0, 0).value;
}
