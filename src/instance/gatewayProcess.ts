// One gateway process of `lineshaft up --gateways N` (gateways.ts is main's side). It inherits the environment, the listening socket and
// an IPC channel to main. It has its own pool, session, lease and records, and reaches the workers that main keeps; it starts no child.
//
// It ends when it is asked to, and when main has gone: main's children end with main, so there would be no database.
import { EngineRegistry, workerEngine, type WorkerEngine } from "../engines/index.ts";
import { closeEgress } from "../egress/index.ts";
import { Disk, Home } from "../fleet/index.ts";
import type { Gateway } from "../gateway/index.ts";
import { Database } from "../store/index.ts";
import { Alarms, createLogger, createMetrics, metricsText } from "../telemetry/index.ts";
import { endpointViews } from "../api/index.ts";
import { openBooks } from "./books.ts";
import { storageAlarm } from "./conditions.ts";
import { gatewayAliveMs } from "./gateways.ts";
import { Link } from "./link.ts";
import type { GatewayStart, GatewayVerbs, MainVerbs, WorkerView } from "./processVerbs.ts";
import { listen, openServer, openServing, settle, type Serving } from "./serve.ts";
import { readSettings } from "./settings.ts";
import { Undo } from "./undo.ts";

/** The first descriptor after the IPC channel. */
const listenerDescriptor = 4;
/** Main waits for the other processes' answers meanwhile. */
const flushedMs = 5_000;
/** A model may have to be looked at, a lock waited for. */
const deploymentMs = 60_000;

const engines = new EngineRegistry();
const metrics = createMetrics();
const begun = Promise.withResolvers<GatewayStart>();
const stopping = Promise.withResolvers<void>();
let serving: Serving | undefined;

const verbs: GatewayVerbs = {
  start: (start) => begun.resolve(start),
  worker: addWorker,
  workerGone: (endpoint) => void engines.remove(endpoint),
  workerLost(endpoint) {
    const worker = engines.get(endpoint);
    if (worker?.kind === "embedded") engines.lost(worker, "It has ended and is being started again.");
  },
  configured: ({ deployment, ...settings }) => engines.configure(deployment, settings),
  running: (endpoint) => engines.running(endpoint),
  endpoints: () => endpointViews(engines),
  metrics: () => metrics.registry.getMetricsAsJSON(),
  scheduler() {
    if (serving) return serving.gateway.scheduler();
    throw new Error("It has not started yet.");
  },
  flushed: async () => serving?.gateway.flushed(),
  forget: (project) => serving?.gateway.forget(project),
};
const main = new Link<MainVerbs>(process, verbs, (verb, error) =>
  process.stderr.write(`${verb} failed: ${error.message}\n`),
);

// A terminal's Ctrl-C is main's to hear. SIGTERM is main's word to stop.
process.on("SIGINT", () => {}).on("SIGHUP", () => {});
process.once("SIGTERM", () => stopping.resolve()).once("disconnect", () => stopping.resolve());
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

/** Puts a worker of this machine into service. The same one under another role keeps its engine, and with it its streams. */
function addWorker({ deployment, endpoint, url, token, embeds, ...options }: WorkerView): void {
  const known = engines.get(endpoint);
  const reached = known?.kind === "embedded" ? (known.engine as WorkerEngine).reached : undefined;
  const isSame = reached?.url === url && reached.token === token;
  if (known && isSame && known.role === options.role && known.name === deployment) return;
  const engine = known && isSame ? known.engine : workerEngine({ url, token, embeds });
  engines.add(deployment, engine, {
    kind: "embedded",
    endpoint,
    model: options.model,
    role: options.role,
    ...(options.node !== undefined && { node: options.node }),
    ...(options.facts && { facts: options.facts }),
  });
}

/** The gateway as the API of this process uses it: what is asked of records and prompts is asked of every process. */
function ofAllProcesses(gateway: Gateway): Gateway {
  return {
    ...gateway,
    flushed: async () => {
      await Promise.all([gateway.flushed(), main.ask("flushed", undefined, flushedMs).catch(() => {})]);
    },
    forget: async (project) => {
      await gateway.forget(project);
      main.tell("forget", project);
    },
  };
}

async function compose(start: GatewayStart, stack: AsyncDisposableStack): Promise<void> {
  const settings = readSettings(process.env);
  const home = Home.fromEnvironment(process.env);
  const log = createLogger(process.env["LINESHAFT_DEBUG"] === "1" ? { level: "debug" } : {}).child({
    process: start.name,
  });
  const undo = new Undo(stack, log);
  const alarms = new Alarms({ log, metrics });
  const disk = new Disk({ folder: home.runFolder, onChange: (full) => storageAlarm(alarms, full) });
  stack.defer(() => disk.close());
  undo.add("engines", async () => {
    await engines.close();
    await closeEgress();
  });
  const db = new Database(start.databaseUrl);
  undo.add("database", () => db.close());
  const books = await openBooks({ home, settings, db }, undo, { alarms, log });
  const { restate } = start;
  const options = {
    settings,
    books,
    engines,
    disk,
    restate,
    metrics,
    alarms,
    log,
    home: home.mark,
    shareWorkers: true,
  };
  const opened = await openServing(options, undo);
  serving = opened;
  const server = openServer(
    options,
    { ...opened, gateway: ofAllProcesses(opened.gateway) },
    {
      status: () => main.ask("status", undefined, 5_000),
      deployments: {
        list: () => main.ask("deployments", undefined),
        publish: (organisation, spec) => main.ask("publish", { organisation, spec }, deploymentMs),
        remove: (organisation, name) => main.ask("remove", { organisation, name }, deploymentMs),
      },
      rebuild: () => main.ask("rebuild", undefined, deploymentMs),
      resumeRestored: (run) => main.ask("resumeRestored", run, deploymentMs),
      metricsOfAll: async () => metricsText(await main.ask("metrics", undefined)),
      schedulers: () => main.ask("schedulers", undefined, 5_000),
    },
    start.consoleFolder,
  );
  undo.add("calls", () => settle(server, opened.gateway, opened.agents));
  await listen(server, settings, listenerDescriptor);
  main.tell("ready", undefined);
  setInterval(() => main.tell("alive", undefined), gatewayAliveMs).unref();
}

if (import.meta.main) {
  const stack = new AsyncDisposableStack();
  const start = await Promise.race([begun.promise, stopping.promise]);
  if (start) {
    // A gateway that cannot start says why on its output, which main keeps for the reason of its end.
    await compose(start, stack).catch((error: Error) => {
      process.stderr.write(`${error.message}\n`);
      process.exitCode = 1;
      stopping.resolve();
    });
    await stopping.promise;
  }
  await stack.disposeAsync();
  process.exit();
}
