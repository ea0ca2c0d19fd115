// One child of the supervisor through all its lives: spawn, wait until it serves, notice its death, start it again.
import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as sleepMs } from "node:timers/promises";
import { LineshaftError } from "../errors/index.ts";
import { explainEnding, type Ending } from "./errors.ts";
import { healthyAfterMs, restartCeilingMs, restartFloorMs, restartMultiplier } from "./limits.ts";
import { Messages } from "./messages.ts";
import { homeMark } from "./orphans.ts";
import { OutputTail } from "./output.ts";
import { identify, killTree, signal } from "./processes.ts";
import { watchSilence, type SilenceWatch } from "./silence.ts";
import type { ChildRecords } from "./records.ts";
import type { ChildSpec, ChildState, ChildStatus, SupervisorOptions } from "./types.ts";

interface ChildSurroundings extends SupervisorOptions {
  records: ChildRecords;
  onChange(status: ChildStatus): void;
}

/** A spawned process until it has ended. */
interface Life {
  process: ChildProcess;
  pid: number;
  output: OutputTail;
  messages: Messages;
  /** Present from readiness on, where the spec asks for signs of life. */
  silence: SilenceWatch | undefined;
  /** It was killed because it gave no sign of life. */
  hung: boolean;
  /** Resolves, never rejects, with how it ended: "exited with status 1", "was ended by SIGKILL". */
  ended: Promise<string>;
}

/** Pause before the next start after `deaths` deaths in a row, in milliseconds. */
export function restartPauseMs(deaths: number): number {
  return Math.min(restartCeilingMs, restartFloorMs * restartMultiplier ** Math.max(0, deaths - 1));
}

export class ManagedChild {
  readonly #spec: ChildSpec;
  readonly #around: ChildSurroundings;
  readonly #stopping = new AbortController();
  #state: ChildState = "starting";
  #life: Life | undefined;
  #restarts = 0;
  #startedAt: Date | undefined;
  #lastError: string | undefined;
  /** The loop that keeps it alive; settles when the child is stopped. */
  #keeping: Promise<void> = Promise.resolve();

  constructor(spec: ChildSpec, around: ChildSurroundings) {
    this.#spec = spec;
    this.#around = around;
  }

  status(): ChildStatus {
    return {
      name: this.#spec.name,
      state: this.#state,
      restarts: this.#restarts,
      ...(this.#life && { pid: this.#life.pid }),
      ...(this.#startedAt && { startedAt: this.#startedAt }),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
    };
  }

  /** The first start: its failure is final and says why. */
  async start(): Promise<void> {
    this.#become("starting");
    const begun = await this.#begin();
    if (begun.ready) {
      this.#keeping = this.#keep(begun.life);
      return;
    }
    if (this.#stopping.signal.aborted) {
      this.#become("stopped");
      throw stoppedError(this.#spec.name);
    }
    this.#become("failed", begun.ending.why);
    // An error of `ready` that gives a reason says more than the output.
    if (begun.cause instanceof LineshaftError) throw begun.cause;
    throw new LineshaftError({
      code: begun.ending.code,
      message: `${this.#spec.name} did not start.`,
      why: begun.ending.why,
      hint: begun.ending.hint,
      cause: begun.cause,
    });
  }

  async stop(): Promise<void> {
    if (this.#state === "failed" || this.#state === "stopped") return;
    if (!this.#stopping.signal.aborted) {
      this.#become("stopping");
      this.#stopping.abort();
    }
    if (this.#life) await this.#end(this.#life);
    await this.#keeping;
    this.#become("stopped");
  }

  kill(): void {
    this.#stopping.abort();
    if (this.#life) killTree(this.#life.pid);
  }

  /** From readiness to the end: waits for each death and starts again, until it is told to stop. */
  async #keep(first: Life): Promise<void> {
    const now = this.#around.now ?? Date.now;
    const sleep = this.#around.sleep ?? interruptibleSleep;
    let life: Life | undefined = first;
    let readyAt = now();
    let deaths = 0;
    for (;;) {
      let why = this.#lastError ?? "";
      if (life) {
        const how = await life.ended;
        why = life.hung ? hungText(this.#spec.silentMs!) : explainEnding(how, life.output.text).why;
        if (now() - readyAt >= healthyAfterMs) deaths = 0;
      }
      if (this.#stopping.signal.aborted) return;
      deaths += 1;
      this.#restarts += 1;
      this.#become("restarting", why);
      await sleep(restartPauseMs(deaths), this.#stopping.signal);
      if (this.#stopping.signal.aborted) return;
      const begun = await this.#begin();
      life = begun.ready ? begun.life : undefined;
      if (begun.ready) readyAt = now();
      else this.#lastError = begun.ending.why;
    }
  }

  /** Spawns and waits until ready. On failure nothing of it is left running. */
  async #begin(): Promise<{ ready: true; life: Life } | { ready: false; ending: Ending; cause?: unknown }> {
    let life: Life;
    try {
      life = await this.#spawn();
    } catch (error) {
      return { ready: false, ending: explainEnding("could not be run", (error as Error).message), cause: error };
    }
    const timeout = AbortSignal.timeout(this.#spec.readyTimeoutMs);
    const given = new AbortController();
    const stop = AbortSignal.any([timeout, given.signal, this.#stopping.signal]);
    const served = this.#spec.ready({ pid: life.pid, messages: life.messages }, stop).then(
      () => ({ served: true as const }),
      (error: unknown) => ({ served: false as const, error }),
    );
    const interrupted = new Promise<{ interrupted: true }>((resolve) => {
      if (stop.aborted) resolve({ interrupted: true });
      stop.addEventListener("abort", () => resolve({ interrupted: true }), { once: true });
    });
    const outcome = await Promise.race([served, interrupted, life.ended.then((how) => ({ how }))]);
    if ("served" in outcome && outcome.served) {
      this.#watch(life);
      this.#become("ready");
      return { ready: true, life };
    }
    given.abort();
    if ("how" in outcome) return { ready: false, ending: explainEnding(outcome.how, life.output.text) };
    await this.#end(life);
    if ("served" in outcome && outcome.error instanceof LineshaftError) {
      const { code, why, message, hint } = outcome.error;
      return { ready: false, ending: { code, why: why ?? message, hint: hint ?? "" }, cause: outcome.error };
    }
    const seconds = Math.round(this.#spec.readyTimeoutMs / 1000);
    const how =
      "served" in outcome && !timeout.aborted
        ? `did not become ready (${(outcome.error as Error).message})`
        : `was not ready after ${seconds} s`;
    return { ready: false, ending: explainEnding(how, life.output.text) };
  }

  /** From readiness on, silence is a death: a child that hangs would serve nothing and never be replaced. */
  #watch(life: Life): void {
    const { silentMs } = this.#spec;
    if (silentMs === undefined) return;
    life.silence = watchSilence(silentMs, () => {
      life.hung = true;
      killTree(life.pid);
    });
    void life.ended.then(() => life.silence?.stop());
  }

  async #spawn(): Promise<Life> {
    const { name, command, args, env, uid, gid, cwd, ipc, descriptors = [] } = this.#spec;
    const child = spawn(command, args, {
      env: { ...env, [homeMark]: this.#around.mark },
      cwd: cwd ?? "/",
      uid,
      gid,
      detached: true,
      serialization: ipc === "advanced" ? "advanced" : "json",
      stdio: ["ignore", "pipe", "pipe", ...(ipc ? (["ipc"] as const) : []), ...descriptors],
    });
    const output = new OutputTail(this.#around.onLine && ((line) => this.#around.onLine!(name, line)));
    const messages = new Messages();
    const ended = new Promise<string>((resolve) => {
      // `close` comes after the last of the output, `exit` alone may come before it; a helper that inherited the pipes
      // must not hold the news up for ever, so `exit` counts too, a moment later. Timers fire before pipes are read: after a stall of this
      // process the output that lies in them is read first.
      child.once("close", (status, name) => resolve(endingOf(status, name)));
      child.once("exit", (status, name) => setTimeout(() => setImmediate(resolve, endingOf(status, name)), 200));
    }).then((how) => {
      messages.end();
      if (this.#life?.process === child) {
        this.#life = undefined;
        this.#around.records.delete(name);
      }
      return how;
    });
    child.stdout?.on("data", (bytes: Buffer) => output.write("stdout", bytes));
    child.stderr?.on("data", (bytes: Buffer) => output.write("stderr", bytes));
    child.on("message", (message) => {
      this.#life?.silence?.heard();
      messages.push(message);
    });
    this.#spec.spawned?.(child);
    if (child.pid === undefined) await new Promise((_resolve, reject) => child.once("error", reject));
    child.on("error", () => {});
    const pid = child.pid!;
    // In the tick of the spawn: a parent killed from here on leaves a record of it.
    const identity = identify(pid);
    if (identity)
      this.#around.records.set({ name, ...identity, words: [command, ...args], stopSignal: this.#spec.stopSignal });
    this.#startedAt = new Date();
    this.#life = { process: child, pid, output, messages, silence: undefined, hung: false, ended };
    return this.#life;
  }

  /** Asks a life to end, kills its group when it does not in time, and waits until it has. */
  async #end(life: Life): Promise<void> {
    if (life.process.connected) life.process.disconnect();
    signal(life.pid, this.#spec.stopSignal);
    const late = new AbortController();
    const kill = sleepMs(this.#spec.stopTimeoutMs, undefined, { signal: late.signal }).then(
      () => killTree(life.pid),
      () => {},
    );
    await life.ended;
    late.abort();
    await kill;
    // Helpers of the child that outlived it go with it.
    signal(-life.pid, "SIGKILL");
  }

  #become(state: ChildState, why?: string): void {
    this.#state = state;
    if (why !== undefined) this.#lastError = why;
    this.#around.onChange(this.status());
  }
}

function endingOf(status: number | null, signalName: NodeJS.Signals | null): string {
  return signalName ? `was ended by ${signalName}` : `exited with status ${status}`;
}

function hungText(silentMs: number): string {
  return `It gave no sign of life for ${Math.round(silentMs / 1000)} s and was ended.`;
}

/** What a start answers that was interrupted. */
export function stoppedError(name: string): LineshaftError {
  return new LineshaftError({
    code: "stopped",
    message: `${name} was stopped before it was ready.`,
    hint: "Start again when you want it to run.",
  });
}

async function interruptibleSleep(ms: number, stop: AbortSignal): Promise<void> {
  await sleepMs(ms, undefined, { signal: stop }).catch(() => {});
}
