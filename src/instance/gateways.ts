// The gateway processes of `lineshaft up --gateways N`: main's side.
//
//   keeper -> main: Postgres, Restate, workers, deployments, agents' runs
//               \-> gateway-1 .. gateway-N: clients and their calls, all accepting from one listening socket (fleet/listener.ts)
//
// Main serves no client itself when there are several, so that any process which clients reach may die, hang or run out of memory while
// the others go on; with one gateway main serves, and there is no further process. Gateway processes are supervised children: one that
// dies is started again within a moment, and one that gives no sign of life for `gatewaySilentMs` is ended first.
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { DeploymentVerbs, EndpointView } from "../api/index.ts";
import type { EngineRegistry, RegisteredEndpoint, WorkerEngine } from "../engines/index.ts";
import type { SharedListener, Supervisor } from "../fleet/index.ts";
import type { Gateway, SchedulerSnapshot } from "../gateway/index.ts";
import type { Logger, MetricFamily, Metrics } from "../telemetry/index.ts";
import { Link } from "./link.ts";
import type { GatewayStart, GatewayVerbs, MainVerbs, ProcessMetrics } from "./processVerbs.ts";
import { restartsVariable } from "./keeper.ts";
import { settleMs } from "./undo.ts";

/** Names of gateway processes begin with it. */
export const gatewayPrefix = "gateway-";
const program = fileURLToPath(new URL("gatewayProcess.ts", import.meta.url));
/** A gateway says this often that it lives. */
export const gatewayAliveMs = 1_000;
/** Longer than any pause of a healthy process (a collection of garbage, a busy machine), and short for the clients of a frozen one. */
const gatewaySilentMs = 10_000;
/** Loading the code, connecting, and asking the added engines what they are. */
const gatewayReadyMs = 120_000;

interface GatewaysOptions {
  count: number;
  supervisor: Supervisor;
  engines: EngineRegistry;
  listener: SharedListener;
  env: NodeJS.ProcessEnv;
  log: Logger;
}

/** A gateway process of this moment. */
interface Peer {
  link: Link<GatewayVerbs>;
  metrics: MetricFamily[];
}

type Start = Omit<GatewayStart, "name">;
/** What main answers itself; the rest is answered from the gateways. */
interface Own extends Pick<MainVerbs, "status" | "rebuild" | "resumeRestored"> {
  deployments: DeploymentVerbs;
  metrics: Metrics;
  /** Of the agents' runs. */
  gateway: Gateway;
}

export class Gateways {
  readonly names: string[];
  readonly #options: GatewaysOptions;
  readonly #peers = new Map<string, Peer>();
  readonly #started = Promise.withResolvers<{ start: Start; own: Own }>();
  #begun: Promise<void> = Promise.resolve();

  constructor(options: GatewaysOptions) {
    this.#options = options;
    this.names = Array.from({ length: options.count }, (_, index) => `${gatewayPrefix}${index + 1}`);
    this.#started.promise.catch(() => {});
  }

  /** Spawns the processes, which load their code while the database starts. */
  begin(): void {
    this.#begun = Promise.all(this.names.map((name) => this.#options.supervisor.start(this.#spec(name)))).then(
      () => {},
    );
    // `serve` says it.
    this.#begun.catch(() => {});
    this.#options.engines.onChange((change) => {
      if (change.type === "configured") {
        const { deployment, settings } = change;
        return this.#tellAll("configured", { deployment, ...settings });
      }
      if (change.endpoint.kind !== "embedded") return undefined;
      if (change.type === "added") return this.#tellAll("worker", workerOf(change.endpoint));
      if (change.type === "removed") return this.#tellAll("workerGone", change.endpoint.endpoint);
      return undefined;
    });
    this.#options.supervisor.onChange(({ name, state }) => {
      if (state === "restarting") this.#tellAll("workerLost", name);
    });
  }

  /** Gives each process what it is made of; resolves when all of them listen. Throws why one could not start. */
  async serve(start: Start, own: Own): Promise<void> {
    this.#started.resolve({ start, own });
    await this.#begun;
  }

  /** Accepts no more connections, and waits until every process has settled its calls and ended. */
  async stop(): Promise<void> {
    this.#options.listener.close();
    await Promise.all(this.names.map((name) => this.#options.supervisor.stop(name)));
  }

  /** Calls of all gateway processes under way at an endpoint. One that does not answer counts as 0: what it had is cut with it. */
  async running(endpoint: string): Promise<number> {
    const counts = await this.#askAll((link) => link.ask("running", endpoint));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** How the gateway processes see the endpoints. */
  async endpoints(): Promise<EndpointView[]> {
    return (await this.#askAll((link) => link.ask("endpoints", undefined))).flat();
  }

  /** The metrics of all processes. A process that does not answer keeps its last ones, so that its counters do not go back. */
  async metrics(): Promise<ProcessMetrics[]> {
    const { own } = await this.#started.promise;
    await Promise.all(
      [...this.#peers.values()].map(async (peer) => {
        peer.metrics = await peer.link.ask("metrics", undefined, 1_000).catch(() => peer.metrics);
      }),
    );
    return [
      { process: "main", families: await own.metrics.registry.getMetricsAsJSON() },
      ...[...this.#peers].map(([process, { metrics: families }]) => ({ process, families })),
    ];
  }

  async schedulers(): Promise<SchedulerSnapshot[]> {
    const { own } = await this.#started.promise;
    return [own.gateway.scheduler(), ...(await this.#askAll((link) => link.ask("scheduler", undefined)))];
  }

  /** Resolves when every process has written its records. One that does not answer is not waited for. */
  async flushed(): Promise<void> {
    const { own } = await this.#started.promise;
    await Promise.all([own.gateway.flushed(), this.#askAll((link) => link.ask("flushed", undefined))]);
  }

  #tellAll<Name extends keyof GatewayVerbs>(verb: Name, value: Parameters<GatewayVerbs[Name]>[0]): void {
    for (const { link } of this.#peers.values()) link.tell(verb, value as never);
  }

  async #askAll<Answer>(ask: (link: Link<GatewayVerbs>) => Promise<Answer>): Promise<Answer[]> {
    const answers = await Promise.allSettled([...this.#peers.values()].map(({ link }) => ask(link)));
    return answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  }

  #spec(name: string) {
    const { env, listener } = this.#options;
    const { [restartsVariable]: _, ...inherited } = env;
    return {
      name,
      command: process.execPath,
      args: [...process.execArgv, program],
      env: Object.fromEntries(
        Object.entries(inherited).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
      ),
      cwd: process.cwd(),
      ipc: "advanced" as const,
      descriptors: [listener.fd],
      silentMs: gatewaySilentMs,
      spawned: (child: ChildProcess) => this.#spawned(name, child),
      async ready({ messages }: { messages: AsyncIterable<unknown> }, signal: AbortSignal) {
        for await (const message of messages) {
          signal.throwIfAborted();
          if ((message as { verb?: string }).verb === "ready") return;
        }
        throw new Error("it ended before it listened");
      },
      readyTimeoutMs: gatewayReadyMs,
      stopSignal: "SIGTERM" as const,
      // Its own stop has the same time as main's.
      stopTimeoutMs: settleMs,
    };
  }

  #spawned(name: string, child: ChildProcess): void {
    const others = () => [...this.#peers].flatMap(([peer, { link }]) => (peer === name ? [] : [link]));
    const ask = async <Answer>(does: (own: Own) => Answer | Promise<Answer>): Promise<Answer> =>
      does((await this.#started.promise).own);
    const verbs: MainVerbs = {
      ready: () => {},
      alive: () => {},
      status: () => ask((own) => own.status()),
      deployments: () => ask((own) => own.deployments.list()),
      publish: (wanted) => ask((own) => own.deployments.publish(wanted.organisation, wanted.spec)),
      remove: (which) => ask((own) => own.deployments.remove(which.organisation, which.name)),
      rebuild: () => ask((own) => own.rebuild()),
      resumeRestored: (run) => ask((own) => own.resumeRestored(run)),
      metrics: () => this.metrics(),
      schedulers: () => this.schedulers(),
      flushed: () => this.flushed(),
      forget: (project) => {
        for (const link of others()) link.tell("forget", project);
        // What the database has of it is erased by the process that asks; here it is what this one remembers.
        void ask((own) => own.gateway.forget(project)).catch(() => {});
      },
    };
    const link = new Link<GatewayVerbs>(child, verbs, (verb, error) =>
      this.#options.log.error({ verb, err: error.stack }, "a question of a gateway process could not be answered"),
    );
    this.#peers.set(name, { link, metrics: this.#peers.get(name)?.metrics ?? [] });
    void this.#started.promise.then(({ start }) => {
      link.tell("start", { ...start, name });
      for (const endpoint of this.#options.engines.list()) {
        if (endpoint.kind === "embedded") link.tell("worker", workerOf(endpoint));
      }
      for (const settings of this.#options.engines.settings()) link.tell("configured", settings);
    });
  }
}

function workerOf({ name, endpoint, model, role, node, facts, engine }: RegisteredEndpoint) {
  return { deployment: name, endpoint, model, role, node, facts, ...(engine as WorkerEngine).reached };
}
