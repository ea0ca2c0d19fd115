// The room put together: registry, durable runs, tools and routes, from what it is given.
import { setTimeout as sleep } from "node:timers/promises";
import type { Dependencies } from "./dependencies.ts";
import { Effects } from "./effects.ts";
import { limits } from "./limits.ts";
import { readRun, readSteps } from "./read.ts";
import { resumeRestoredRuns } from "./restored.ts";
import type { Viewer } from "./record.ts";
import { DurableRuns, type DurableOptions } from "./restate/durable.ts";
import { RestateError } from "./restate/client.ts";
import type { Session } from "../store/index.ts";
import { Backlog } from "./backlog.ts";
import { Runs } from "./runs.ts";
import type { ToolSecrets } from "./tools/mcp/client.ts";
import { createToolbox } from "./tools/toolbox.ts";
import type { ToolKind } from "./tools/types.ts";
import { Turns } from "./turn.ts";
import { Sandbox } from "./verifier/sandbox.ts";
import { Loop } from "./watchdog.ts";

interface AgentsOptions extends Dependencies {
  restate: DurableOptions;
  /** The process's session: its identity stands on the runs that this process works on, and its lock says that it lives. */
  session: Pick<Session, "processId">;
  /** Credentials of tools. */
  secrets: ToolSecrets;
}

export interface AgentParts {
  dependencies: Dependencies;
  runs: Runs;
  effects: Effects;
  tools: ToolKind;
  /** Sends a run's next turn on its way. */
  send(run: string): Promise<void>;
  /** Ends the work on a run in this process at once. */
  abort(run: string): void;
  changed(viewer: Viewer, run: string): void;
}

export interface Agents {
  /** What the API of agents and runs is made of. */
  parts: AgentParts;
  /** Serves and registers the endpoint and sends every unfinished run on its way. Engines should be registered before. */
  start(): Promise<void>;
  /** Takes no more work, lets steps under way end for a moment, aborts the rest; runs go on at the next start. */
  stop(): Promise<void>;
  /** Before `start`, on a copied database: stops every unfinished run; answers how many. */
  disown(): Promise<number>;
  /** Starts every unfinished run that Restate does not hold again from Postgres; answers how many. */
  rebuild(): Promise<number>;
  /** Lets runs that a restore has paused go on, one or all of them; answers how many. */
  resumeRestored(run: string | undefined): Promise<number>;
}

/** Puts the room together. Nothing runs before `start`. */
export function createAgents(options: AgentsOptions): Agents {
  const { db, events, log } = options;
  const runs = new Runs(db, options.session.processId);
  const backlog = new Backlog(db);
  const tools = createToolbox({ secrets: options.secrets });
  const effects = new Effects(db, tools);
  const sandbox = new Sandbox();
  /** Tells live listeners; never waited for by the work itself. */
  const changed = (viewer: Viewer, id: string, step?: number) => {
    void (async () => {
      await options.gateway.flushed();
      if (step !== undefined) {
        const [written] = await readSteps(db, viewer.project, id, step);
        if (written) events.publish(viewer, { type: "step", run: id, step: written });
      }
      const run = await readRun(db, viewer, id);
      if (run) events.publish(viewer, { type: "run", run });
    })().catch((error: Error) => log.debug({ run: id }, error.message));
  };
  const turns = new Turns(options, {
    runs,
    backlog,
    effects,
    tools,
    sandbox,
    changed: (run, step) => changed(run, run.id, step),
  });
  const durable = new DurableRuns(options.restate, { backlog, advance: (run) => turns.advance(run), log });
  const watchdog = new Loop("watchdog", limits.watchdogMs, () => durable.watch(turns.active), log);
  const stopWatch = new Loop("stops", limits.stopPollMs, () => abortEnded(backlog, turns), log);
  const parts: AgentParts = {
    dependencies: options,
    runs,
    effects,
    tools,
    send: (run) => durable.send(run),
    abort: (run) => turns.abort(run),
    changed: (viewer, run) => changed(viewer, run),
  };
  return {
    parts,
    async start() {
      await startDurable(durable);
      watchdog.start();
      stopWatch.start();
    },
    async stop() {
      await Promise.all([watchdog.close(), stopWatch.close()]);
      await turns.close(1_000);
      await Promise.all([durable.stop(), tools.close(), sandbox.close()]);
    },
    disown: () => backlog.disown(),
    rebuild: () => durable.rebuild(),
    async resumeRestored(run) {
      const resumed = await resumeRestoredRuns(db, run);
      // Sends them to Restate, a single one too. What this does not reach is found by the watchdog.
      if (resumed.length > 0) await durable.rebuild();
      return resumed.length;
    },
  };
}

async function abortEnded(backlog: Backlog, turns: Turns): Promise<void> {
  // Those that wait for their turn find out when it comes.
  const { working } = turns;
  if (working.length === 0) return;
  for (const run of await backlog.endedAmong(working)) turns.abort(run);
}

/** Restate answers its health before it takes registrations: a few tries over seconds, then its own words. */
async function startDurable(durable: DurableRuns): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await durable.start();
      return;
    } catch (error) {
      if (!(error instanceof RestateError)) throw error;
      if (await durable.heal(error)) tries = 0;
      else if (tries === 30) throw error;
      await sleep(200);
    }
  }
}
