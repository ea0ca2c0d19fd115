// The sequences that decode together. Each step gives every one of them a token, so steps and KV are counted for all at once.
import { FinishHeap, type Task } from "./task.ts";

export class DecodingBatch {
  readonly #heap = new FinishHeap();
  #step = 0;
  #kvTokens = 0;

  get size(): number {
    return this.#heap.size;
  }

  get tasks(): readonly Task[] {
    return this.#heap.tasks;
  }

  /** Tokens of KV that a step reads. */
  get kvTokens(): number {
    return this.#kvTokens;
  }

  /** Steps until the first task ends. */
  get stepsLeft(): number {
    return this.#heap.firstStep - this.#step;
  }

  /** So many steps have been taken. Answers the tokens that they made. */
  advance(steps: number): number {
    const tokens = this.size * steps;
    this.#step += steps;
    this.#kvTokens += tokens;
    return tokens;
  }

  /** The task decodes from the next step on. False when its output is complete already, and it only has to `leave`. */
  join(task: Task): boolean {
    const left = task.call.outputTokens - task.producedAtJoin;
    task.joinStep = this.#step;
    task.finishStep = this.#step + left;
    this.#kvTokens += task.target + 1;
    if (left > 0) this.#heap.push(task);
    return left > 0;
  }

  /** Takes out a task whose output is complete; undefined when there is none. */
  takeEnded(): Task | undefined {
    return this.size > 0 && this.stepsLeft <= 0 ? this.#heap.pop() : undefined;
  }

  /** Takes out the task that was admitted last. */
  takeYoungest(): Task {
    const { tasks } = this.#heap;
    let youngest = 0;
    for (let i = 1; i < tasks.length; i++) if (tasks[i]!.order > tasks[youngest]!.order) youngest = i;
    return this.#heap.removeAt(youngest);
  }

  /** A task that was taken out gives up its KV. Answers how many tokens it has decoded since it joined. */
  leave(task: Task): number {
    const decoded = this.#step - task.joinStep;
    this.#kvTokens -= task.target + 1 + decoded;
    return decoded;
  }

  clear(): void {
    this.#heap.tasks.length = 0;
    this.#kvTokens = 0;
  }
}
