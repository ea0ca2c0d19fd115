// The small process above the main one: `lineshaft up` starts this, and this starts main and starts it again when it crashes. It imports
// Node and two small files, so that it is small itself and has little that could crash.
//
//   start fails (an exit before main was ready)      its exit code is passed on; the same start would fail again
//   crash (a signal, or an exit after it was ready)  started again, after a pause that grows; too many, and it gives up
//   hang (no sign of life for `silentMs`)            killed, which is a crash
//   asked to stop, or main was                       main settles and ends; its exit code is passed on
//   killed itself                                    main sees its channel close, settles and ends
//
// Signals go to main, which alone knows what to settle. Main leads a session of its own, so that a terminal's Ctrl-C reaches it once,
// through here. When main is gone for good its children are ended too: nothing is left running in any case.
import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { watchSilence, type SilenceWatch } from "../fleet/silence.ts";
import { Restarts } from "./restarts.ts";

/** Tells main that it is kept, and how often it was started again. */
export const restartsVariable = "LINESHAFT_RESTARTS";
/** Tells main why. */
export const reasonVariable = "LINESHAFT_RESTART_REASON";
/** What main sends over its channel. */
export type KeptMessage = "ready" | "alive" | "stopping";
/** Main says this often that it lives. */
export const aliveMs = 5_000;

export interface KeepOptions {
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  /** Ends what a main process that is gone has left running. */
  endChildren(): Promise<void>;
  note(line: string): void;
  signals?: NodeJS.Process;
  /** A main that was ready and gives no sign of life for this long hangs. */
  silentMs?: number;
  /** A main that was asked to stop and has not by then is killed; it needs five seconds at most. */
  stopMs?: number;
  /** Injected in tests. */
  pause?: (ms: number, stop: AbortSignal) => Promise<void>;
}

interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Undefined when it never was ready. */
  servedMs: number | undefined;
  /** Main was asked to stop. */
  stopping: boolean;
  hung: boolean;
}

const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Keeps main running until it is asked to stop or nothing helps; answers the exit code. */
export async function keep(options: KeepOptions): Promise<number> {
  const { env, note, endChildren, signals = process, pause = interruptiblePause } = options;
  const restarts = new Restarts();
  const asked = new AbortController();
  let main: Main | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    asked.abort();
    main?.stop(name);
  };
  for (const name of stopSignals) signals.on(name, onSignal);
  try {
    let reason = "";
    let served = false;
    for (let count = 0; ; count++) {
      const added = { [restartsVariable]: String(count), ...(count > 0 && { [reasonVariable]: reason }) };
      main = new Main(options, { ...env, ...added });
      const end = await main.ended;
      served ||= end.servedMs !== undefined;
      if (asked.signal.aborted || end.stopping || end.code === 0) {
        // Only a main that ended well has certainly ended its children.
        if (end.code !== 0) await endChildren();
        return end.code ?? 0;
      }
      // A start that says by its exit why it fails would say it again.
      if (end.signal === null && !served) {
        await endChildren();
        return end.code ?? 1;
      }
      reason = wordsOf(end);
      const pauseMs = restarts.crashed(performance.now(), end.servedMs ?? 0);
      if (pauseMs === undefined) {
        await endChildren();
        giveUp(note, reason);
        return 1;
      }
      note(`Lineshaft ${reason}. It is started again in ${pauseMs / 1000} s.`);
      await pause(pauseMs, asked.signal);
      if (!asked.signal.aborted) continue;
      await endChildren();
      return 0;
    }
  } finally {
    for (const name of stopSignals) signals.off(name, onSignal);
  }
}

/** One life of main. */
class Main {
  readonly ended: Promise<Ending>;
  readonly #process: ChildProcess;
  readonly #stopMs: number;
  #kill: NodeJS.Timeout | undefined;

  constructor({ command, args, silentMs = 30_000, stopMs = 7_000 }: KeepOptions, env: NodeJS.ProcessEnv) {
    this.#stopMs = stopMs;
    this.#process = spawn(command, args, { env, detached: true, stdio: ["inherit", "inherit", "inherit", "ipc"] });
    let readyAt: number | undefined;
    let stopping = false;
    let hung = false;
    let silence: SilenceWatch | undefined;
    const onSilent = () => {
      hung = true;
      this.#process.kill("SIGKILL");
    };
    this.#process.on("message", (message: KeptMessage) => {
      silence?.heard();
      if (message === "ready") {
        readyAt ??= performance.now();
        silence ??= watchSilence(silentMs, onSilent);
      }
      if (message === "stopping") {
        stopping = true;
        silence?.stop();
      }
    });
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null) => {
        silence?.stop();
        clearTimeout(this.#kill);
        const servedMs = readyAt === undefined ? undefined : performance.now() - readyAt;
        resolve({ code, signal, servedMs, stopping, hung });
      };
      this.#process.once("exit", end);
      this.#process.once("error", () => end(1, null));
    });
  }

  /** Passes a signal on; the first one begins the time in which main must end. */
  stop(name: NodeJS.Signals): void {
    this.#process.kill(name);
    this.#kill ??= setTimeout(() => this.#process.kill("SIGKILL"), this.#stopMs);
  }
}

function wordsOf({ code, signal, hung, servedMs }: Ending): string {
  if (hung) return "did not answer any more and was ended";
  const when = servedMs === undefined ? " while it started" : "";
  return signal === null ? `ended with status ${code}${when}` : `was ended by ${signal}${when}`;
}

function giveUp(note: (line: string) => void, reason: string): void {
  note("error: Lineshaft crashes again and again, so it is not started any more.");
  note(`  why:  The last time it ${reason}.`);
  note("  next: Look at what it printed before, and at memory and disk (`npx lineshaft doctor`); then start it again.");
}

async function interruptiblePause(ms: number, stop: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal: stop }).catch(() => {});
}

/** Ends what main has left running on its home, unless another main has taken the home meanwhile. */
async function endChildrenOf(env: NodeJS.ProcessEnv): Promise<void> {
  // Loaded in this rare case only.
  const { endOrphansOf, Home } = await import("../fleet/index.ts");
  await endOrphansOf(Home.fromEnvironment(env));
}

if (import.meta.main) {
  // Notes are for people: a terminal that was closed, or a full disk, must not end this.
  process.stderr.on("error", () => {});
  process.exit(
    await keep({
      command: process.execPath,
      args: [...process.execArgv, fileURLToPath(new URL("../cli/main.ts", import.meta.url)), ...process.argv.slice(2)],
      env: process.env,
      note: (line) => process.stderr.write(`${line}\n`),
      endChildren: () => endChildrenOf(process.env).catch(() => {}),
    }),
  );
}
