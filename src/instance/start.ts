// Puts the house together: every room is made here, handed what it needs, and none knows how the others were made.
//
//   home locked -> orphans ended -> in parallel: Restate, the console's files, the workers that ran before, and Postgres ->
//   identity, ledger -> deployments -> gateway, agents -> the address answers
//
// With one gateway the main process serves the address itself. With several (`--gateways N`) it serves none: N gateway processes do, and
// main keeps everything else and the agents' runs (gateways.ts).
//
// Stopping goes the other way round: the address closes, calls under way are settled, agents put down their runs, the database
// is left, then every child ends at once. All of it within five seconds.
import { carrySecrets } from "../agents/index.ts";
import { componentOf, deploymentVerbs, instanceStatus } from "../api/index.ts";
import { closeEgress } from "../egress/index.ts";
import { embeddedWorkers, EngineRegistry } from "../engines/index.ts";
import {
  assertPortFree,
  bindShared,
  Deployments,
  DeploymentTable,
  Disk,
  endOrphans,
  Supervisor,
  type Home,
  type SharedListener,
} from "../fleet/index.ts";
import { hasEngine } from "../gateway/index.ts";
import { defaultRates, ModelShelf, type LocalModel, type Progress } from "../models/index.ts";
import { isSuperuser, superuserAdvice } from "../store/index.ts";
import { Alarms, createLogger, createMetrics, everyProject, type Logger } from "../telemetry/index.ts";
import { assertNotRestoring } from "./backup/mark.ts";
import { openBooks } from "./books.ts";
import { reportCarried } from "./carried.ts";
import { restartAlarm, storageAlarm } from "./conditions.ts";
import { buildConsoleIfAbsent } from "./console.ts";
import { publishEmbeddings } from "./embeddings.ts";
import { environmentDeployment } from "./environmentDeployment.ts";
import { gatewayPrefix, Gateways } from "./gateways.ts";
import { ownerKey, type OwnerKey } from "./ownerKey.ts";
import { startDatabase } from "./postgres.ts";
import { startRestate } from "./restate.ts";
import { listen, openServer, openServing, settle } from "./serve.ts";
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
  /** Processes that serve the address. */
  gateways: number;
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
  assertNotRestoring(home);
  const { adopted } = home.settleIdentity(options.adopt ?? false);
  if (options.adopt && !adopted) report.note("This home is no copy, so --adopt changes nothing.");
  home.writeMain({ pid: process.pid, address: null, postgresPort: null });
  // Before the port is looked at: gateway processes of a main that was killed hold it for a moment.
  const orphans = await endOrphans(home.recordsPath, home.marks);
  if (orphans.length > 0)
    report.note(`The start before was killed; what it left running was ended (${orphans.join(", ")}).`);
  const listener = await claimPort(settings);
  if (listener) stack.defer(() => listener.close());

  const log = createLogger(options.env["LINESHAFT_DEBUG"] === "1" ? { level: "debug" } : {});
  const metrics = createMetrics();
  const alarms = new Alarms({ log, metrics });
  const disk = new Disk({ folder: home.runFolder, onChange: (full) => storageAlarm(alarms, full) });
  stack.defer(() => disk.close());
  const supervisor = new Supervisor({
    recordsPath: home.recordsPath,
    mark: home.mark,
    // What a gateway process prints is its log.
    onLine: (child, line) =>
      child.startsWith(gatewayPrefix) ? void process.stderr.write(`${line}\n`) : log.debug({ child }, line),
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

  const openDatabase = async () => {
    const { db, port } = await startDatabase(home, supervisor, settings);
    undo.add("database", () => db.close());
    return Object.assign(await openBooks({ home, settings, db }, undo, { alarms, log }), { port });
  };
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
  const gateways =
    listener &&
    new Gateways({ count: settings.LINESHAFT_GATEWAYS, supervisor, engines, listener, env: options.env, log });
  const models = new ModelShelf({
    cacheFolder: home.modelsFolder,
    usual: settings.LINESHAFT_MODEL,
    report,
    signal: stop,
  });
  const deployments = fleetDeployments(options, { engines, supervisor, log, models, gateways });
  undo.add("deployments", async () => deployments.close());
  deployments.begin();
  gateways?.begin();
  const opened = step("Postgres", openDatabase());
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
  const { db, identity, secrets, organisation, project } = books;
  if (await isSuperuser(db)) alarms.raise({ code: "database_superuser", message: superuserAdvice, clears: true });
  if (options.restarted) restartAlarm(alarms, options.restarted);
  const served = { settings, books, engines, disk, restate, metrics, alarms, log, home: home.mark };
  const serving = await openServing({ ...served, shareWorkers: gateways !== undefined }, undo);
  const { gateway, agents, events } = serving;
  reportCarried(
    await carrySecrets({ db, secrets, organisation: organisation.id, env: options.env, folder: home.file("secrets") }),
    { report, alarms },
  );
  const external = [
    ...(settings.DATABASE_URL ? ["postgres"] : []),
    ...(settings.RESTATE_INGRESS_URL ? ["restate"] : []),
  ];
  const status = () =>
    instanceStatus({
      version,
      address,
      startedAt,
      supervisor,
      engines,
      deployments,
      external,
      disk,
      ...(gateways && { elsewhere: () => gateways.endpoints() }),
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
  const verbs = {
    status,
    deployments: deploymentVerbs(deployments),
    rebuild: () => agents.rebuild(),
    resumeRestored: (run: string | undefined) => agents.resumeRestored(run),
  };
  const server = gateways ? undefined : openServer({ ...served, shareWorkers: false }, serving, verbs, consoleFolder);
  undo.add("calls and runs", () =>
    server
      ? settle(server, gateway, agents)
      : Promise.all([gateways!.stop(), gateway.close({ graceMs: settleGraceMs }), agents.stop()]),
  );
  if (adopted) {
    // A database of the operator's own was not copied, so its runs belong to the other homes on it as well, and go on.
    const stopped = settings.DATABASE_URL ? 0 : await agents.disown();
    report.note(
      `This home is now an instance of its own; ${stopped} unfinished runs of the original were stopped here.`,
    );
    home.adoptionDone();
  }
  await step("agents", agents.start());
  if (server) await listen(server, settings);
  if (gateways) {
    // Main alone keeps Restate; a function does not go through a channel.
    const { replaceStorage: _, ...reached } = restate;
    const start = { version, databaseUrl: db.url, restate: reached, consoleFolder };
    await step("gateways", gateways.serve(start, { ...verbs, metrics, gateway }));
  }

  const key = await ownerKey(home, identity, { organisation: organisation.id, project: project.id }, address);
  home.writeMain({ pid: process.pid, address, postgresPort: books.port });
  signal.throwIfAborted();
  const note = (line: string) => report.note(line);
  void publishEmbeddings({ settings, home, deployments, models, organisation: organisation.id, signal, note });
  return {
    address,
    key,
    consoleUrl: `${address}/console`,
    served: deployments.served(),
    home,
    gateways: settings.LINESHAFT_GATEWAYS,
    stop: () => stack.disposeAsync(),
  };
}

/** With one gateway, sees that the port is free. With several, binds it for the processes that will accept from it. */
async function claimPort(settings: Settings): Promise<SharedListener | undefined> {
  const { LINESHAFT_PORT: port, LINESHAFT_HOST: host, LINESHAFT_GATEWAYS: gateways } = settings;
  await assertPortFree(port, host);
  return gateways > 1 ? bindShared(port, host) : undefined;
}

/** The fleet's deployments, with what other rooms do for them. */
function fleetDeployments(
  { settings, home, report }: StartOptions,
  {
    engines,
    supervisor,
    log,
    models,
    gateways,
  }: {
    engines: EngineRegistry;
    supervisor: Supervisor;
    log: Logger;
    models: ModelShelf;
    gateways: Gateways | undefined;
  },
): Deployments<LocalModel> {
  const { LINESHAFT_REPLICAS, LINESHAFT_ROLES, LINESHAFT_PLACEMENT } = settings;
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
      models,
      workers: embeddedWorkers({
        engines,
        kvFolder: home.kvFolder,
        stopTimeoutMs: childStopMs,
        ...(gateways && { elsewhere: (endpoint) => gateways.running(endpoint) }),
      }),
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
