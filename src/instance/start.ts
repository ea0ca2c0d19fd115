// Puts the house together: every room is made here, handed what it needs, and none knows how the others were made.
//
//   home locked -> orphans ended -> in parallel: Restate, the console's files, the workers that ran before, and Postgres ->
//   identity, ledger -> deployments -> gateway, agents -> the address answers
//
// Stopping goes the other way round: the address closes, calls under way are settled, agents put down their runs, the database
// is left, then every child ends at once. All of it within five seconds.
import { once } from "node:events";
import type { Server } from "node:http";
import { carrySecrets, createAgents, type Agents } from "../agents/index.ts";
import {
  agentRoutes,
  alarmResource,
  closeServer,
  componentOf,
  createServer,
  deploymentRoutes,
  instanceStatus,
  maintenanceRoutes,
  secretRoutes,
  type HouseEvent,
} from "../api/index.ts";
import { closeEgress } from "../egress/index.ts";
import { embeddedWorkers, EngineRegistry } from "../engines/index.ts";
import {
  assertPortFree,
  Deployments,
  DeploymentTable,
  Disk,
  endOrphans,
  isLoopback,
  portError,
  Supervisor,
  type Home,
} from "../fleet/index.ts";
import {
  createGateway,
  hasEngine,
  keepProbing,
  PostgresCarrier,
  restoreEngines,
  type Gateway,
} from "../gateway/index.ts";
import { defaultRates, ModelShelf, type LocalModel, type Progress } from "../models/index.ts";
import { isSuperuser, superuserAdvice } from "../store/index.ts";
import {
  Alarms,
  AlarmStore,
  createLogger,
  createMetrics,
  everyProject,
  LiveEvents,
  ownersOnly,
  type Logger,
} from "../telemetry/index.ts";
import { openBooks } from "./books.ts";
import { reportCarried } from "./carried.ts";
import { restartAlarm, storageAlarm, watchSilence } from "./conditions.ts";
import { buildConsoleIfAbsent } from "./console.ts";
import { environmentDeployment } from "./environmentDeployment.ts";
import { ownerKey, type OwnerKey } from "./ownerKey.ts";
import { startRestate } from "./restate.ts";
import type { Settings } from "./settings.ts";
import { childStopMs, settleGraceMs, Undo } from "./undo.ts";

export interface StartReport {
  begin(what: string): void;
  done(what: string): void;
  download(progress: Progress): void;
  note(line: string): void;
}

export interface StartOptions {
  settings: Settings;
  home: Home;
  env: NodeJS.ProcessEnv;
  version: string;
  report: StartReport;
  /** Aborts a start that is under way. */
  signal: AbortSignal;
  /** A copied home becomes one of its own. */
  adopt?: boolean;
  /** It crashed and was started again: how often by now, and why the last time. */
  restarted?: { times: number; reason: string } | undefined;
  /** Told early how to end every child at once, for a second Ctrl-C. */
  onKill(kill: () => void): void;
}

export interface Instance {
  address: string;
  /** The owner key is shown by the start that made it. Later starts say that it is kept in the credentials file, or gone with it. */
  key: OwnerKey;
  consoleUrl: string;
  /** What is served from here, in the order of its making. */
  served: { name: string; model: LocalModel; workers: number }[];
  home: Home;
  stop(): Promise<void>;
}

/** Brings everything up or leaves nothing running. Throws what went wrong, as an error with `why` and `hint`. */
export async function startInstance(options: StartOptions): Promise<Instance> {
  const stack = new AsyncDisposableStack();
  try {
    return await compose(options, stack);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function compose(options: StartOptions, stack: AsyncDisposableStack): Promise<Instance> {
  const { settings, home, report, signal, version } = options;
  const startedAt = new Date();
  const address = `http://localhost:${settings.LINESHAFT_PORT}`;
  home.prepare();
  stack.use(home.lock());
  const { adopted } = home.settleIdentity(options.adopt ?? false);
  if (options.adopt && !adopted) report.note("This home is no copy, so --adopt changes nothing.");
  home.writeMain({ pid: process.pid, address: null, postgresPort: null });
  await assertPortFree(settings.LINESHAFT_PORT, settings.LINESHAFT_HOST);
  const orphans = await endOrphans(home.recordsPath, home.marks);
  if (orphans.length > 0)
    report.note(`The start before was killed; what it left running was ended (${orphans.join(", ")}).`);

  const log = createLogger(options.env["LINESHAFT_DEBUG"] === "1" ? { level: "debug" } : {});
  let diskBecame = (_full: boolean): void => {};
  const disk = new Disk({ folder: home.runFolder, onChange: (full) => diskBecame(full) });
  stack.defer(() => disk.close());
  const supervisor = new Supervisor({
    recordsPath: home.recordsPath,
    mark: home.mark,
    onLine: (child, line) => log.debug({ child }, line),
    onRecordsFailure: (error) => {
      disk.failed(error);
      log.error({ err: (error as Error).message }, "the list of children could not be written; it is tried again");
    },
  });
  stack.defer(() => supervisor.stopAll());
  options.onKill(() => supervisor.killAll());
  const undo = new Undo(stack, log);
  const engines = new EngineRegistry();
  undo.add("engines", async () => {
    await engines.close();
    await closeEgress();
  });

  const step = async <Result>(what: string, work: Promise<Result>): Promise<Result> => {
    report.begin(what);
    const result = await work;
    report.done(what);
    return result;
  };
  const giveUp = new AbortController();
  const stop = AbortSignal.any([signal, giveUp.signal]);
  const stopChildren = () => void supervisor.stopAll();
  stop.addEventListener("abort", stopChildren);
  const deployments = fleetDeployments(options, { engines, supervisor, log, signal: stop });
  undo.add("deployments", async () => deployments.close());
  deployments.begin();
  const metrics = createMetrics();
  const alarms = new Alarms({ log, metrics });
  const opened = step("Postgres", openBooks(options, supervisor, undo, { alarms, log }));
  const [books, restate, , consoleFolder] = await allOrNothing(giveUp, [
    opened,
    step("Restate", startRestate(home, settings, supervisor)),
    step(
      "model",
      opened.then(({ db, ledger, organisation }) =>
        deployments.start({
          table: new DeploymentTable(db),
          organisation: organisation.id,
          price: (owner, model, { bytes }) =>
            ledger.ensureRateCard({
              organisation: owner,
              model,
              currency: organisation.currency,
              ...defaultRates(bytes),
            }),
          isTaken: (name) => hasEngine(db, name),
        }),
      ),
    ),
    step(
      "console",
      buildConsoleIfAbsent((line) => report.note(line), stop),
    ),
  ]);
  // From here on an interruption is settled in order, with the children alive.
  stop.removeEventListener("abort", stopChildren);
  const { db, session, identity, secrets, organisation, project, ledger } = books;
  const events = new LiveEvents<HouseEvent>();
  const alarmStore = new AlarmStore({ alarms, db, log });
  await alarmStore.restore();
  undo.add("alarms", () => alarmStore.close());
  alarms.onChange(({ change, alarm }) =>
    events.publish(
      { organisation: alarm.organisation ?? organisation.id, project: ownersOnly },
      { type: "alarm", change, alarm: alarmResource(alarm) },
    ),
  );
  if (await isSuperuser(db)) alarms.raise({ code: "database_superuser", message: superuserAdvice, clears: true });
  if (options.restarted) restartAlarm(alarms, options.restarted);
  watchSilence(db, alarms);
  diskBecame = (full) => storageAlarm(alarms, full);
  if (disk.full) storageAlarm(alarms, true);
  disk.watch();
  // A database of the operator's own has a disk of its own, and says itself when that is full.
  const storage = settings.DATABASE_URL ? undefined : disk;
  // Only a database that others may use too can have other gateways on it.
  const carrier = settings.DATABASE_URL
    ? new PostgresCarrier({ session, log, isShared: (name) => engines.get(name)?.kind !== "embedded" })
    : undefined;
  if (carrier) undo.add("load of other gateways", async () => carrier.close());
  const gateway = createGateway({
    db,
    ledger,
    keys: identity,
    engines,
    events,
    metrics,
    alarms,
    log,
    carrier,
    storage,
    media: { privateHosts: settings.LINESHAFT_MEDIA_HOSTS },
  });
  await restoreEngines({ db, engines, log, alarms });
  stack.defer(keepProbing(engines));
  const agents = createAgents({
    db,
    session,
    gateway,
    ledger,
    engines,
    events,
    alarms,
    log,
    secrets,
    restate,
  });
  reportCarried(
    await carrySecrets({ db, secrets, organisation: organisation.id, env: options.env, folder: home.file("secrets") }),
    { report, alarms },
  );
  const external = [
    ...(settings.DATABASE_URL ? ["postgres"] : []),
    ...(settings.RESTATE_INGRESS_URL ? ["restate"] : []),
  ];
  const server = createServer({
    gateway,
    identity,
    ledger,
    engines,
    db,
    events,
    metrics,
    alarms,
    log,
    storage,
    ...(consoleFolder !== undefined && { consoleFolder }),
    openMetrics: isLoopback(settings.LINESHAFT_HOST),
    status: () => instanceStatus({ version, address, startedAt, supervisor, engines, deployments, external, disk }),
    routes: [
      agentRoutes(agents.parts),
      secretRoutes({ secrets, identity }),
      maintenanceRoutes(agents),
      deploymentRoutes(deployments),
    ],
  });
  // Calls of a worker that has ended wait until it is back, or go to another one.
  supervisor.onChange(({ name, state }) => {
    const worker = state === "restarting" ? engines.get(name) : undefined;
    if (worker?.kind === "embedded") engines.lost(worker, "It has ended and is being started again.");
  });
  supervisor.onChange((child) =>
    events.publish(
      { organisation: organisation.id, project: everyProject },
      { type: "component", component: componentOf(child) },
    ),
  );
  undo.add("calls and runs", () => settle(server, gateway, agents));
  if (adopted) {
    // A database of the operator's own was not copied: its runs are everybody's that uses it.
    const stopped = settings.DATABASE_URL ? 0 : await agents.disown();
    report.note(
      `This home is now an instance of its own; ${stopped} unfinished runs of the original were stopped here.`,
    );
    home.adoptionDone();
  }
  await step("agents", agents.start());
  await listen(server, settings);

  const key = await ownerKey(home, identity, { organisation: organisation.id, project: project.id }, address);
  home.writeMain({ pid: process.pid, address, postgresPort: books.port });
  signal.throwIfAborted();
  const served = deployments.served();
  return { address, key, consoleUrl: `${address}/console`, served, home, stop: () => stack.disposeAsync() };
}

/** The fleet's deployments, with what other rooms do for them. */
function fleetDeployments(
  { settings, home, report }: StartOptions,
  {
    engines,
    supervisor,
    log,
    signal,
  }: { engines: EngineRegistry; supervisor: Supervisor; log: Logger; signal: AbortSignal },
): Deployments<LocalModel> {
  const { LINESHAFT_REPLICAS, LINESHAFT_ROLES, LINESHAFT_PLACEMENT, LINESHAFT_MODEL } = settings;
  return new Deployments<LocalModel>({
    home,
    supervisor,
    log,
    note: (line) => report.note(line),
    environment: {
      spec: (name) => environmentDeployment(name, settings),
      isGiven: (LINESHAFT_REPLICAS ?? LINESHAFT_ROLES ?? LINESHAFT_PLACEMENT) !== undefined,
    },
    hands: {
      models: new ModelShelf({ cacheFolder: home.modelsFolder, usual: LINESHAFT_MODEL, report, signal }),
      workers: embeddedWorkers({ engines, kvFolder: home.kvFolder, stopTimeoutMs: childStopMs }),
      configure(name, spec) {
        const seconds = spec?.firstTokenSeconds;
        engines.configure(name, {
          ...(spec && { placement: spec.placement }),
          ...(seconds !== undefined && { firstTokenMs: 1000 * seconds }),
        });
      },
    },
  });
}

/** Like Promise.all, but when one fails the others are given up and waited for, so that nothing goes on behind the error. */
async function allOrNothing<Works extends readonly Promise<unknown>[] | []>(giveUp: AbortController, works: Works) {
  try {
    return await Promise.all(works);
  } catch (error) {
    giveUp.abort();
    await Promise.allSettled(works);
    throw error;
  }
}

async function listen(server: Server, settings: Settings): Promise<void> {
  server.listen(settings.LINESHAFT_PORT, settings.LINESHAFT_HOST);
  try {
    await once(server, "listening");
  } catch (error) {
    throw portError(error, settings.LINESHAFT_PORT);
  }
}

/** No new work; what is under way ends or is cancelled, and is settled either way. */
async function settle(server: Server, gateway: Gateway, agents: Agents): Promise<void> {
  await Promise.all([closeServer(server, gateway, settleGraceMs), agents.stop()]);
}
