// What serves calls and the API in one process: the gateway, the engines that were added, the agents' verbs, and the server. The main
// process of an instance with one gateway is made of it, and so is every gateway process of one with several.
import type { Server } from "node:http";
import { once } from "node:events";
import { createAgents, type Agents, type DurableOptions } from "../agents/index.ts";
import {
  agentRoutes,
  alarmResource,
  closeServer,
  createServer,
  deploymentRoutes,
  maintenanceRoutes,
  relayed,
  secretRoutes,
  type DeploymentVerbs,
  type HouseEvent,
  type InstanceStatus,
} from "../api/index.ts";
import type { EngineRegistry } from "../engines/index.ts";
import { isLoopback, portError, type Disk } from "../fleet/index.ts";
import {
  createGateway,
  keepProbing,
  KeptAnswers,
  ModelRoutes,
  PostgresCarrier,
  restoreEngines,
  syncEngines,
  watchPrices,
  type Gateway,
  type SchedulerSnapshot,
} from "../gateway/index.ts";
import { Changes } from "../store/index.ts";
import {
  AlarmStore,
  LiveEvents,
  LiveRelay,
  ownersOnly,
  type Alarms,
  type Logger,
  type Metrics,
  relayAlarms,
} from "../telemetry/index.ts";
import type { Books } from "./books.ts";
import { watchSilence } from "./conditions.ts";
import { backgroundProofs } from "./proofs.ts";
import type { Settings } from "./settings.ts";
import { settleGraceMs, type Undo } from "./undo.ts";

interface ServingOptions {
  settings: Settings;
  books: Books;
  engines: EngineRegistry;
  disk: Disk;
  restate: DurableOptions;
  metrics: Metrics;
  alarms: Alarms;
  log: Logger;
  /** Name of this home among the machines of the database: workers of two homes have the same names. */
  home: string;
  /** Other processes of this machine call the same workers. */
  shareWorkers: boolean;
}

/** A process's part in serving. */
export interface Serving {
  gateway: Gateway;
  agents: Agents;
  events: LiveEvents<HouseEvent>;
  changes: Changes;
}

/** The gateway with its engines, and the agents, whose runs begin with `agents.start`. What it opens is undone by `undo`. */
export async function openServing(options: ServingOptions, undo: Undo): Promise<Serving> {
  const { settings, books, engines, disk, metrics, alarms, log, restate } = options;
  const { db, session, identity, ledger, limiter, secrets, organisation } = books;
  // Processes that start in the same millisecond have different ones, so that an event's id is of one process.
  const events = new LiveEvents<HouseEvent>({ epoch: `${Date.now().toString(36)}-${session.processId.toString(36)}` });
  const relay = others(options) ? await LiveRelay.open({ events, session, log, ...relayed }) : undefined;
  undo.add("live events", async () => relay?.close());
  const prover = backgroundProofs({ ledger, session, alarms, metrics });
  undo.add("proofs", async () => prover.close());
  prover.start();
  const alarmStore = new AlarmStore({ alarms, db, log });
  await alarmStore.restore();
  undo.add("alarms", () => alarmStore.close());
  const stopAlarms = others(options) ? await relayAlarms({ alarms, session, log }) : undefined;
  undo.add("alarms of other processes", async () => stopAlarms?.());
  alarms.onChange(({ change, alarm }) => {
    // It may stand still with another process.
    if (change === "gone" && alarms.list().some(({ id }) => id === alarm.id)) return;
    events.publish(
      { organisation: alarm.organisation ?? organisation.id, project: ownersOnly },
      { type: "alarm", change, alarm: alarmResource(alarm) },
    );
  });
  watchSilence(db, alarms);
  disk.watch();
  const carrier = carrierOf(options);
  if (carrier) undo.add("load of other gateways", async () => carrier.close());
  const routes = new ModelRoutes();
  const kept = new KeptAnswers({ db, seal: books.seal, log });
  undo.add("kept answers", async () => kept.close());
  const gateway = createGateway({
    ledger,
    routes,
    kept,
    keys: identity,
    engines,
    limiter,
    events,
    metrics,
    alarms,
    log,
    carrier,
    storage: storageOf(options),
    media: { privateHosts: settings.LINESHAFT_MEDIA_HOSTS },
  });
  // Listened to before the first reading, so that no change falls between the two.
  const changes = await Changes.open(session, (table, error) =>
    log.warn({ table, err: error.message }, "a change by another process could not be read"),
  );
  undo.add("changes by other processes", async () => changes.close());
  await restoreEngines({ db, engines, log, alarms });
  changes.on("engines", () => syncEngines({ db, engines, log, alarms }));
  await routes.read(db);
  changes.on("model_routes", () => routes.read(db));
  const stopPrices = watchPrices({ ledger, alarms }, changes);
  undo.add("prices", async () => stopPrices());
  const stopProbing = keepProbing(engines);
  undo.add("probes", async () => stopProbing());
  const agents = createAgents({ db, session, gateway, ledger, engines, events, alarms, log, secrets, restate });
  return { gateway, agents, events, changes };
}

/** Whether other processes may serve from the same database. */
const others = ({ settings, shareWorkers }: ServingOptions): boolean => shareWorkers || Boolean(settings.DATABASE_URL);

/** Load is shared with every process that may call the same endpoints: on this machine, or by a database that others may use too. */
function carrierOf(options: ServingOptions): PostgresCarrier | undefined {
  if (!others(options)) return undefined;
  const { books, engines, home, shareWorkers, log } = options;
  const prefix = `${home}/`;
  return new PostgresCarrier({
    session: books.session,
    log,
    names: {
      toOthers: (endpoint) => {
        if (engines.get(endpoint)?.kind !== "embedded") return endpoint;
        return shareWorkers ? prefix + endpoint : undefined;
      },
      ofOthers: (name) => (name.startsWith(prefix) ? name.slice(prefix.length) : name),
    },
  });
}

/** A database of the operator's own has a disk of its own, and says itself when that is full. */
const storageOf = ({ settings, disk }: Pick<ServingOptions, "settings" | "disk">): Disk | undefined =>
  settings.DATABASE_URL ? undefined : disk;

/** What the server asks beyond its own process. */
interface ServerVerbs {
  status: () => Promise<InstanceStatus>;
  deployments: DeploymentVerbs;
  rebuild: () => Promise<number>;
  resumeRestored: (run: string | undefined) => Promise<number>;
  metricsOfAll?: () => Promise<string>;
  schedulers?: () => Promise<SchedulerSnapshot[]>;
}

/** The HTTP server over what serves; the caller lets it listen. */
export function openServer(
  { settings, books, engines, disk, metrics, alarms, log }: ServingOptions,
  { gateway, agents, events, changes }: Serving,
  { deployments, rebuild, resumeRestored, ...verbs }: ServerVerbs,
  consoleFolder: string | undefined,
): Server {
  const { db, identity, seal, ledger, limiter, secrets } = books;
  return createServer({
    gateway,
    identity,
    ledger,
    limiter,
    engines,
    db,
    seal,
    events,
    metrics,
    alarms,
    log,
    storage: storageOf({ settings, disk }),
    routesChanged: () => changes.read("model_routes"),
    ...(consoleFolder !== undefined && { consoleFolder }),
    openMetrics: isLoopback(settings.LINESHAFT_HOST),
    ...verbs,
    routes: [
      agentRoutes(agents.parts),
      secretRoutes({ secrets, identity }),
      maintenanceRoutes({ rebuild, resumeRestored }),
      deploymentRoutes(deployments),
    ],
  });
}

/** Listens at the address, or at an inherited socket. Throws LineshaftError `port_busy` or `port_forbidden`. */
export async function listen(server: Server, settings: Settings, descriptor?: number): Promise<void> {
  if (descriptor === undefined) server.listen(settings.LINESHAFT_PORT, settings.LINESHAFT_HOST);
  else server.listen({ fd: descriptor });
  try {
    await once(server, "listening");
  } catch (error) {
    throw portError(error, settings.LINESHAFT_PORT);
  }
}

/** No new work; what is under way ends or is cancelled, and is settled either way. */
export async function settle(server: Server, gateway: Gateway, agents: Agents): Promise<void> {
  await Promise.all([closeServer(server, gateway, settleGraceMs), agents.stop()]);
}
