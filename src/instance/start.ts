// Puts the house together: every room is made here, handed what it needs, and none knows how the others were made.
//
//   home locked -> orphans ended -> in parallel: Restate, the console's files, the workers that ran before, and Postgres ->
//   identity, ledger -> deployments -> gateway, agents -> the address answers
//
// Stopping goes the other way round: the address closes, calls under way are settled, agents put down their runs, the database
// is left, then every child ends at once. All of it within five seconds.
import { once } from "node:events";
import type { Server } from "node:http";
import {
  carrySecrets,
  createAgents,
  restateCommand,
  type Agents,
  type Dependencies,
  type DurableOptions,
} from "../agents/index.ts";
import {
  agentRoutes,
  alarmResource,
  closeServer,
  createServer,
  deploymentRoutes,
  maintenanceRoutes,
  secretRoutes,
} from "../api/index.ts";
import { closeEgress } from "../egress/index.ts";
import { EngineRegistry } from "../engines/index.ts";
import { assertPortFree, Disk, endOrphans, isLoopback, portError, Supervisor, type Home } from "../fleet/index.ts";
import { createGateway, PostgresCarrier, keepProbing, restoreEngines, type Gateway } from "../gateway/index.ts";
import type { LiveEvent } from "../contract/index.ts";
import { Identity, Secrets } from "../governance/index.ts";
import { createLedger, stuckAlarm } from "../ledger/index.ts";
import type { Database } from "../store/index.ts";
import type { LocalModel, Progress } from "../models/index.ts";
import { isSuperuser, Session, superuserAdvice } from "../store/index.ts";
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
import { firstTenant, type Settings } from "./settings.ts";
import { reportCarried } from "./carried.ts";
import { buildConsoleIfAbsent } from "./console.ts";
import { InstanceDeployments } from "../fleet/deployments/deployments.ts";
import { startDatabase } from "./postgres.ts";
import { componentOf, instanceStatus } from "../api/resources/status.ts";
import { childStopMs, settleGraceMs, Undo } from "./undo.ts";

/** Where Restate's SDKs listen unless told otherwise. */
const usualEndpointPort = 9080;

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

export type OwnerKey = { state: "new"; secret: string } | { state: "kept" } | { state: "gone" };

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
  const deployments = new InstanceDeployments({ engines, home, supervisor, settings, log, report, signal: stop });
  undo.add("deployments", async () => deployments.close());
  deployments.begin();
  const metrics = createMetrics();
  const alarms = new Alarms({ log, metrics });
  const opened = step("Postgres", openBooks(options, supervisor, undo, { alarms, log }));
  const [books, restate, , consoleFolder] = await allOrNothing(giveUp, [
    opened,
    step("Restate", startRestate(options, supervisor)),
    step(
      "model",
      opened.then((books) => deployments.start(books)),
    ),
    step(
      "console",
      buildConsoleIfAbsent((line) => report.note(line), stop),
    ),
  ]);
  // From here on an interruption is settled in order, with the children alive.
  stop.removeEventListener("abort", stopChildren);
  const { db, session, identity, secrets, organisation, project, ledger } = books;
  const events = new LiveEvents<LiveEvent>();
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
  // The agents room names its events as it builds them; what listeners are promised is checked by the API's schema.
  const runEvents: Dependencies["events"] = {
    publish: (audience, event) => events.publish(audience, event as unknown as LiveEvent),
  };
  const agents = createAgents({
    db,
    session,
    gateway,
    ledger,
    engines,
    events: runEvents,
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

/** A database that does not answer is something to look at, although it heals by itself when it answers again. */
function watchSilence(db: Database, alarms: Alarms): void {
  const code = "store_unavailable";
  db.onSilence((silent) => {
    if (!silent) return alarms.clear({ code });
    alarms.raise({
      code,
      message:
        "The database answers nothing: calls are refused with 503 until it does. Look at its process, its disk and the network to it.",
      clears: true,
    });
  });
}

function restartAlarm(alarms: Alarms, { times, reason }: { times: number; reason: string }): void {
  alarms.raise({
    code: "main_restarted",
    message: `Lineshaft ${reason}, and was started again (${times === 1 ? "once" : `${times} times`} by now). Runs went on, calls under way were cut. Look at what it printed, and at memory and disk.`,
  });
}

function storageAlarm(alarms: Alarms, full: boolean): void {
  const code = "storage_full";
  if (!full) return alarms.clear({ code });
  alarms.raise({
    code,
    message:
      "The disk of the home is full: calls and changes are refused with 507 until there is room. Free some space, or move the home to a larger disk.",
    clears: true,
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

async function startRestate({ home, settings }: StartOptions, supervisor: Supervisor): Promise<DurableOptions> {
  const { RESTATE_INGRESS_URL, RESTATE_ADMIN_URL, LINESHAFT_ADVERTISED_URL } = settings;
  if (RESTATE_INGRESS_URL && RESTATE_ADMIN_URL && LINESHAFT_ADVERTISED_URL)
    return {
      ingress: { url: RESTATE_INGRESS_URL },
      admin: { url: RESTATE_ADMIN_URL },
      embedded: false,
      advertisedUrl: LINESHAFT_ADVERTISED_URL,
      // It comes from elsewhere, so it must be let in: at the advertised port, or behind a proxy at Restate's usual one.
      listen: { host: "0.0.0.0", port: Number(new URL(LINESHAFT_ADVERTISED_URL).port) || usualEndpointPort },
      identityKeys: settings.RESTATE_IDENTITY_KEYS,
    };
  const { ingressSocket, adminSocket, identityKey, ...spec } = restateCommand({ home: home.path });
  await supervisor.start({ ...spec, stopTimeoutMs: Math.min(spec.stopTimeoutMs, childStopMs) });
  return {
    ingress: { socket: ingressSocket },
    admin: { socket: adminSocket },
    embedded: true,
    identityKeys: [identityKey],
  };
}

/** The database, and what must be in it before anything is served: the tenant and its books. */
async function openBooks(
  { home, settings }: StartOptions,
  supervisor: Supervisor,
  undo: Undo,
  { alarms, log }: { alarms: Alarms; log: Logger },
) {
  const { db, port } = await startDatabase(home, supervisor, settings);
  undo.add("database", () => db.close());
  const session = await Session.open({
    url: db.url,
    watcher: {
      lost: (reason) => log.warn({ reason }, "the lock that says that this process lives is lost; it is taken again"),
      back: () => log.info("the lock that says that this process lives is held again"),
    },
  });
  undo.add("session", () => session.close());
  const { keyHmac, secretsKey } = home.secrets();
  const identity = new Identity({ db, secret: Buffer.from(keyHmac, "hex") });
  const secrets = new Secrets({ db, key: Buffer.from(secretsKey, "hex") });
  const tenant = await identity.ensureTenant({ ...firstTenant, currency: settings.LINESHAFT_CURRENCY });
  const ledger = await createLedger({
    db,
    session,
    // The embedded Postgres was started for this process: no other gateway is on it.
    alone: !settings.DATABASE_URL,
    onStuck: (hold) => alarms.raise(stuckAlarm(hold)),
  });
  undo.add("ledger", async () => ledger.close());
  return { db, session, port, identity, secrets, ledger, ...tenant };
}

async function listen(server: Server, settings: Settings): Promise<void> {
  server.listen(settings.LINESHAFT_PORT, settings.LINESHAFT_HOST);
  try {
    await once(server, "listening");
  } catch (error) {
    throw portError(error, settings.LINESHAFT_PORT);
  }
}

/** The first start makes the owner key and writes it down; later ones keep the file's address up to date. */
async function ownerKey(
  home: Home,
  identity: Identity,
  tenant: { organisation: string; project: string },
  address: string,
): Promise<OwnerKey> {
  const isFirstStart = (await identity.listKeys(tenant.organisation)).length === 0;
  if (isFirstStart) {
    const { secret } = await identity.createKey({ ...tenant, name: "owner", role: "owner" });
    home.writeCredentials({ address, key: secret });
    return { state: "new", secret };
  }
  const kept = home.credentials();
  if (!kept) return { state: "gone" };
  home.writeCredentials({ address, key: kept.key });
  return { state: "kept" };
}

/** No new work; what is under way ends or is cancelled, and is settled either way. */
async function settle(server: Server, gateway: Gateway, agents: Agents): Promise<void> {
  await Promise.all([closeServer(server, gateway, settleGraceMs), agents.stop()]);
}
