// Tasks that wait inside a replica: in the order in which they came, after those that were preempted.
import type { Task } from "./task.ts";

export class WaitingTasks {
  #tasks: Task[] = [];
  #head = 0;
  #preempted: Task[] = [];

  get size(): number {
    return this.#tasks.length - this.#head + this.#preempted.length;
  }

  push(task: Task): void {
    this.#tasks.push(task);
  }

  /** It must compute again what is no longer cached; the last of these is the first to be admitted. */
  preempted(task: Task): void {
    this.#preempted.push(task);
  }

  get first(): Task | undefined {
    return this.#preempted.length > 0 ? this.#preempted[this.#preempted.length - 1] : this.#tasks[this.#head];
  }

  /** Removes the first. */
  take(): void {
    if (this.#preempted.length > 0) {
      this.#preempted.pop();
      return;
    }
    this.#head++;
    if (this.#head > 1024 && this.#head * 2 > this.#tasks.length) {
      this.#tasks = this.#tasks.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Removes the task, wherever it waits; false when it does not wait here. */
  remove(task: Task): boolean {
    const preempted = this.#preempted.indexOf(task);
    if (preempted >= 0) this.#preempted.splice(preempted, 1);
    const place = this.#tasks.indexOf(task, this.#head);
    if (place >= 0) this.#tasks.splice(place, 1);
    return preempted >= 0 || place >= 0;
  }

  /** Removes and answers all. */
  clear(): Task[] {
    const all = [...this.#preempted, ...this.#tasks.slice(this.#head)];
    this.#preempted = [];
    this.#tasks = [];
    this.#head = 0;
    return all;
  }
}
