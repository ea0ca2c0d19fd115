// Keeps children alive: starts each in a process group of its own (a terminal's Ctrl-C reaches the main process alone, which
// settles first), restarts the ones that die with a growing pause, and stops them all within seconds.
//
//   starting -> ready -> restarting -> ready ...      a death after the first readiness heals by itself
//   starting -> failed                                a first start that fails is the caller's to explain
//   any -> stopping -> stopped
import { ChildRecords } from "./records.ts";
import { ManagedChild, stoppedError } from "./child.ts";
import { treeMemory } from "./processes.ts";
import type { ChildSpec, ChildStatus, SupervisorOptions } from "./types.ts";

/**
 * The children of this process. `start` resolves when the child is ready and throws LineshaftError with the reason when it does not
 * become ready.
 */
export class Supervisor {
  readonly #children = new Map<string, ManagedChild>();
  readonly #listeners = new Set<(status: ChildStatus) => void>();
  readonly #records: ChildRecords;
  readonly #options: SupervisorOptions;
  #closed = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#records = new ChildRecords(options.recordsPath, options.onRecordsFailure);
  }

  /** Resolves when the child is ready for the first time; rejects with a LineshaftError when it is not, and leaves nothing running. */
  async start(spec: ChildSpec): Promise<void> {
    if (this.#closed) throw stoppedError(spec.name);
    const before = this.#children.get(spec.name);
    if (before && before.status().state !== "failed" && before.status().state !== "stopped")
      throw new TypeError(`A child named ${spec.name} runs already.`);
    const child = new ManagedChild(spec, {
      ...this.#options,
      records: this.#records,
      onChange: (status) => this.#listeners.forEach((listener) => listener(status)),
    });
    this.#children.set(spec.name, child);
    await child.start();
  }

  /** Stops one child, for good. */
  async stop(name: string): Promise<void> {
    await this.#children.get(name)?.stop();
  }

  /** Speaks no more of a child that has ended: it was stopped, or never became ready. */
  forget(name: string): void {
    const state = this.#children.get(name)?.status().state;
    if (state === "stopped" || state === "failed") this.#children.delete(name);
  }

  /** Stops every child at once (none needs another to end well), waits until all are gone, and starts none from then on. */
  async stopAll(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#children.values()].map((child) => child.stop()));
  }

  /** Kills every child at once, without asking: the second Ctrl-C. */
  killAll(): void {
    this.#closed = true;
    for (const child of this.#children.values()) child.kill();
  }

  status(): ChildStatus[] {
    const statuses = [...this.#children.values()].map((child) => child.status());
    const memory = treeMemory(statuses.flatMap((status) => status.pid ?? []));
    return statuses.map((status) =>
      status.pid === undefined ? status : Object.assign(status, { rssBytes: memory.get(status.pid) }),
    );
  }

  /** Called with a child's status whenever its state changes. Answers how to stop listening. */
  onChange(listener: (status: ChildStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
