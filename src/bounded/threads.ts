// A small pool of threads for work whose cost the caller chooses. A task has a limit of CPU time, of time by the clock and of memory;
// a thread that passes one is terminated from outside, whatever it executes, and replaced. Its task alone fails.
//
// CPU time and memory are the task's own: it would pass those limits again. A passed limit of time by the clock, and a thread that breaks
// or cannot start, are the machine's fault; the task may be tried again (`TaskError.temporary`).
//
// Tasks wait in one queue per group (an organisation), and groups take turns, so that one group's expensive tasks delay another's task by at
// most one task per thread. No thread is started before the first task.
import { Worker, type ResourceLimits } from "node:worker_threads";
import { LineshaftError } from "../errors/index.ts";

/** The bounds of a pool. Times in milliseconds; `waitingPerGroup` and `waitingTasks` count tasks. */
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

/**
 * `cpu`, `memory`: the task passed a limit. `failed`: it threw. `wall`: the machine was too busy to finish it. `broken`: its thread could
 * not start, or ended. `busy`: too many tasks wait. `closed`: the pool was closed.
 */
type TaskFailure = "cpu" | "memory" | "failed" | "wall" | "broken" | "busy" | "closed";

/** Failures that are not the task's fault. */
const temporary: ReadonlySet<TaskFailure> = new Set(["wall", "broken", "busy", "closed"]);

/** The reason why a task failed. */
export class TaskError extends LineshaftError {
  declare readonly code: TaskFailure;

  constructor(code: TaskFailure, message: string, options?: ErrorOptions) {
    super({ code, message, cause: options?.cause });
  }

  /** Whether the same task may succeed when it is tried again. */
  get temporary(): boolean {
    return temporary.has(this.code);
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
  /** Whether the thread has loaded its code; that time counts for no task. */
  ready: boolean;
  running: Running | undefined;
}

interface Running extends Task {
  cpuBefore: Promise<number | undefined>;
  /** Checks the used CPU time. */
  cpuTimer: NodeJS.Timeout;
  /** Ends the thread. */
  wallTimer: NodeJS.Timeout;
}

/** A pool of threads that all run the same code. Tasks and results are copied between threads (structured clone). */
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
      if (this.#closed) return reject(new TaskError("closed", "Lineshaft is stopping."));
      const queue = this.#waiting.get(group) ?? [];
      if (queue.length >= this.#options.waitingPerGroup || this.#waitingTasks >= this.#options.waitingTasks)
        return reject(new TaskError("busy", "Too much waits to be done already."));
      queue.push({ task, group, resolve: resolve as (result: unknown) => void, reject });
      this.#waiting.set(group, queue);
      this.#waitingTasks++;
      this.#dispatch();
    });
  }

  /** Fails waiting and running tasks, and ends the threads. */
  async close(): Promise<void> {
    this.#closed = true;
    const error = new TaskError("closed", "Lineshaft is stopping.");
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

  /** Starts a spare thread before the next task needs it, up to the pool's size. */
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
    let worker: Worker;
    try {
      worker = new Worker(this.#options.file, {
        resourceLimits: this.#options.resources,
        env: {},
        execArgv: ["--disable-warning=ExperimentalWarning"],
        stdout: true,
        stderr: true,
      });
    } catch (error) {
      return this.#notStarted(broken(error));
    }
    const thread: Thread = { worker, ready: false, running: undefined };
    this.#threads.add(thread);
    worker.on("message", (reply: "ready" | { result?: unknown; error?: string }) => {
      if (reply !== "ready") return this.#answered(thread, reply);
      thread.ready = true;
      if (this.#waitingTasks === 0) worker.unref();
      this.#dispatch();
    });
    worker.on("error", (error: NodeJS.ErrnoException) => {
      const memory = thread.running && error.code === "ERR_WORKER_OUT_OF_MEMORY";
      void this.#end(thread, memory ? new TaskError("memory", "It needs more memory than is allowed.") : broken(error));
    });
    worker.on("exit", () => void this.#end(thread, broken()));
    // A task that waits for it keeps the process alive; a spare thread does not.
    if (this.#waitingTasks === 0) worker.unref();
  }

  /** Waiting tasks are left to the other threads. Without another thread the next task fails; otherwise threads would be started without end. */
  #notStarted(error: TaskError): void {
    if (this.#threads.size > 0 || this.#waitingTasks === 0) return;
    this.#take().reject(error);
    // In a later turn, because a start that fails at once would otherwise recurse once for each waiting task.
    queueMicrotask(() => this.#dispatch());
  }

  #give(thread: Thread, task: Task): void {
    const { worker } = thread;
    const { cpuMs, wallMs } = this.#options;
    worker.ref();
    thread.running = {
      ...task,
      cpuBefore: cpuOf(worker),
      cpuTimer: setTimeout(() => void this.#measure(thread), cpuMs),
      wallTimer: setTimeout(() => void this.#end(thread, tooSlow(wallMs)), wallMs),
    };
    worker.postMessage({ task: task.task });
    this.#keepSpare();
  }

  /** Ends a task that has used its CPU time. A busy machine gives a thread little of it, so only what the thread has used decides. */
  async #measure(thread: Thread): Promise<void> {
    const { running, worker } = thread;
    if (!running) return;
    const { cpuMs } = this.#options;
    const [before, now] = await Promise.all([running.cpuBefore, cpuOf(worker)]);
    // If the thread has ended, its exit event reports the reason.
    if (thread.running !== running || before === undefined || now === undefined) return;
    const left = cpuMs - (now - before);
    if (left > 0) running.cpuTimer = setTimeout(() => void this.#measure(thread), Math.max(20, left));
    else await this.#end(thread, new TaskError("cpu", `It takes more than ${cpuMs} ms.`));
  }

  #answered(thread: Thread, reply: { result?: unknown; error?: string }): void {
    const { running } = thread;
    if (!running) return;
    clearTimers(running);
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
    if (running) clearTimers(running);
    const ended = thread.worker.terminate();
    running?.reject(error);
    if (!thread.ready) this.#notStarted(error);
    else if (!this.#closed) {
      this.#dispatch();
      this.#keepSpare();
    }
    await ended;
  }
}

function clearTimers({ cpuTimer, wallTimer }: Running): void {
  clearTimeout(cpuTimer);
  clearTimeout(wallTimer);
}

const tooSlow = (wallMs: number): TaskError =>
  new TaskError("wall", `The machine was too busy to finish it within ${wallMs / 1000} s.`);

const broken = (cause?: unknown): TaskError =>
  new TaskError("broken", "The machine could not run a thread for it.", { cause });

/** CPU time that a thread has used, in milliseconds; undefined when it has ended. */
async function cpuOf(worker: Worker): Promise<number | undefined> {
  try {
    const { user, system } = await worker.cpuUsage();
    return (user + system) / 1000;
  } catch {
    return undefined;
  }
}
