// Main's side of its keeper (keeper.ts): says that it is ready, that it lives and that it stops, and stops when the keeper has gone.
// Without a keeper (main.ts run by itself) all of this does nothing.
import { aliveMs, reasonVariable, restartsVariable, type KeptMessage } from "./keeper.ts";

export class Kept {
  /** How often main was started again, and why the last time; undefined at the first start and without a keeper. */
  readonly restarted: { times: number; reason: string } | undefined;
  readonly #kept: boolean;

  constructor(env: NodeJS.ProcessEnv) {
    this.#kept = env[restartsVariable] !== undefined && process.send !== undefined;
    const times = Number(env[restartsVariable] ?? 0);
    this.restarted = this.#kept && times > 0 ? { times, reason: env[reasonVariable] ?? "crashed" } : undefined;
  }

  /** `onGone` is called when the keeper has ended, whatever ended it: nothing would start this process again or pass signals on. */
  watch(onGone: () => void): void {
    if (!this.#kept) return;
    // It may have ended while this process was loading: `disconnect` was emitted before anything listened.
    if (!process.connected) return onGone();
    process.once("disconnect", onGone);
    // The channel must not keep a process alive that has nothing else to do.
    process.channel?.unref();
  }

  /** From here on a crash is a crash, and silence is one too. */
  ready(): void {
    this.#tell("ready");
    if (this.#kept) setInterval(() => this.#tell("alive"), aliveMs).unref();
  }

  stopping(): void {
    this.#tell("stopping");
  }

  #tell(message: KeptMessage): void {
    if (this.#kept && process.connected) process.send!(message, () => {});
  }
}
