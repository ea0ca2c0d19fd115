// A small pool of threads for work whose cost a stranger chooses. A task has a limit of CPU time, of time by the clock and of memory;
// a thread that passes one is terminated from outside, whatever it executes, and replaced. Its task alone fails.
//
// Tasks wait in one queue per group (an organisation), and groups take turns, so that one group's dear tasks delay another's task by at
// most one task per thread. No thread is started before the first task.
import { Worker, type ResourceLimits } from "node:worker_threads";

export interface PoolOptions {
  /** The thread's code. It says `ready` once, then answers each message `{task}` with `{result}` or `{error}`. */
  file: URL;
  threads: number;
  cpuMs: number;
  wallMs: number;
  resources: ResourceLimits;
  waitingPerGroup: number;
  waitingTasks: number;
}

/** `time`, `memory`: the task passed a limit. `busy`: too many tasks wait. `closed`: the pool was closed. `failed`: the task threw. */
export type TaskFailure = "time" | "memory" | "busy" | "closed" | "failed";

export class TaskError extends Error {
  readonly code: TaskFailure;
  constructor(code: TaskFailure, message: string) {
    super(message);
    this.name = "TaskError";
    this.code = code;
  }
}

interface Task {
  task: unknown;
  group: string;
  resolve(result: unknown): void;
  reject(error: TaskError): void;
}

interface Thread {
  worker: Worker;
  /** It has loaded its code, whose time is no task's. */
  ready: boolean;
  running: (Task & { startedAt: number; cpuBefore: Promise<number | undefined>; timer: NodeJS.Timeout }) | undefined;
}

export class ThreadPool {
  readonly #options: PoolOptions;
  readonly #threads = new Set<Thread>();
  /** Waiting tasks by group; the map's order is the order of turns. */
  readonly #waiting = new Map<string, Task[]>();
  #waitingTasks = 0;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Tasks that wait or run. */
  get load(): number {
    return this.#waitingTasks + [...this.#threads].filter(({ running }) => running).length;
  }

  /** Does a task in a thread. Throws TaskError. */
  run<Result>(group: string, task: unknown): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      if (this.#closed) return reject(new TaskError("closed", "The pool of threads was closed."));
      const queue = this.#waiting.get(group) ?? [];
      if (queue.length >= this.#options.waitingPerGroup || this.#waitingTasks >= this.#options.waitingTasks)
        return reject(new TaskError("busy", "Too many tasks wait already."));
      queue.push({ task, group, resolve: resolve as (result: unknown) => void, reject });
      this.#waiting.set(group, queue);
      this.#waitingTasks++;
      this.#dispatch();
    });
  }

  /** Fails what waits and runs, and ends the threads. */
  async close(): Promise<void> {
    this.#closed = true;
    const error = new TaskError("closed", "The pool of threads was closed.");
    for (const queue of this.#waiting.values()) for (const task of queue) task.reject(error);
    this.#waiting.clear();
    this.#waitingTasks = 0;
    await Promise.all([...this.#threads].map((thread) => this.#end(thread, error)));
  }

  #dispatch(): void {
    const threads = [...this.#threads];
    let busy = threads.filter(({ running }) => running).length;
    for (const thread of threads) {
      if (this.#waitingTasks === 0 || busy >= this.#options.threads) return;
      if (!thread.ready || thread.running) continue;
      this.#give(thread, this.#take());
      busy++;
    }
    const starting = threads.filter(({ ready }) => !ready).length;
    const wanted = Math.min(this.#waitingTasks, this.#options.threads - busy);
    for (let started = starting; started < wanted; started++) this.#start();
  }

  /** A thread is there before the next task needs it, as far as there may be one. */
  #keepSpare(): void {
    if (this.#threads.size < this.#options.threads && ![...this.#threads].some(({ running }) => !running))
      this.#start();
  }

  /** The next task, of the group whose turn it is. */
  #take(): Task {
    const [group, queue] = this.#waiting.entries().next().value!;
    const task = queue.shift()!;
    this.#waitingTasks--;
    this.#waiting.delete(group);
    if (queue.length > 0) this.#waiting.set(group, queue);
    return task;
  }

  #start(): void {
    const worker = new Worker(this.#options.file, {
      resourceLimits: this.#options.resources,
      env: {},
      execArgv: ["--disable-warning=ExperimentalWarning"],
      stdout: true,
      stderr: true,
    });
    const thread: Thread = { worker, ready: false, running: undefined };
    this.#threads.add(thread);
    worker.on("message", (reply: "ready" | { result?: unknown; error?: string }) => {
      if (reply !== "ready") return this.#answered(thread, reply);
      thread.ready = true;
      if (this.#waitingTasks === 0) worker.unref();
      this.#dispatch();
    });
    worker.on("error", (error: NodeJS.ErrnoException) => {
      const memory = error.code === "ERR_WORKER_OUT_OF_MEMORY";
      void this.#end(
        thread,
        memory
          ? new TaskError("memory", "It needs more memory than is allowed.")
          : new TaskError("failed", error.message),
      );
    });
    worker.on("exit", () => void this.#end(thread, new TaskError("failed", "The thread ended.")));
    // A task that waits for it keeps the process alive; a spare thread does not.
    if (this.#waitingTasks === 0) worker.unref();
  }

  #give(thread: Thread, task: Task): void {
    const { worker } = thread;
    worker.ref();
    thread.running = {
      ...task,
      startedAt: performance.now(),
      cpuBefore: cpuOf(worker),
      timer: setTimeout(() => void this.#late(thread), this.#options.cpuMs),
    };
    worker.postMessage({ task: task.task });
    this.#keepSpare();
  }

  /** The time is over by the clock: whether it is over in CPU time decides, since a busy machine gives a thread little of it. */
  async #late(thread: Thread): Promise<void> {
    const { running, worker } = thread;
    if (!running) return;
    const { cpuMs, wallMs } = this.#options;
    const waited = performance.now() - running.startedAt;
    const [before, now] = await Promise.race([
      Promise.all([running.cpuBefore, cpuOf(worker)]),
      // A thread that does not even say what it has used is taken to use all of it.
      new Promise<[undefined, undefined]>((resolve) => setTimeout(resolve, 500, [undefined, undefined]).unref()),
    ]);
    if (thread.running !== running) return;
    const used = before === undefined || now === undefined ? cpuMs : now - before;
    if (used < cpuMs && waited < wallMs) {
      const again = Math.max(20, Math.min(cpuMs - used, wallMs - waited));
      running.timer = setTimeout(() => void this.#late(thread), again);
      return;
    }
    await this.#end(thread, new TaskError("time", `It takes longer than ${cpuMs} ms.`));
  }

  #answered(thread: Thread, reply: { result?: unknown; error?: string }): void {
    const { running } = thread;
    if (!running) return;
    clearTimeout(running.timer);
    thread.running = undefined;
    thread.worker.unref();
    if (reply.error === undefined) running.resolve(reply.result);
    else running.reject(new TaskError("failed", reply.error));
    this.#dispatch();
  }

  async #end(thread: Thread, error: TaskError): Promise<void> {
    if (!this.#threads.delete(thread)) return;
    const { running } = thread;
    thread.running = undefined;
    clearTimeout(running?.timer);
    const ended = thread.worker.terminate();
    // A thread that cannot even load its code fails a task, else it would be started without end.
    if (running) running.reject(error);
    else if (!thread.ready && this.#waitingTasks > 0) this.#take().reject(error);
    if (!this.#closed) {
      this.#dispatch();
      if (thread.ready) this.#keepSpare();
    }
    await ended;
  }
}

/** CPU time that a thread has used, in milliseconds; undefined when it has ended. */
async function cpuOf(worker: Worker): Promise<number | undefined> {
  try {
    const { user, system } = await worker.cpuUsage();
    return (user + system) / 1000;
  } catch {
    return undefined;
  }
}
