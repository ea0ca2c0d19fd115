// Deployments of this instance: what was published, kept in Postgres and brought about by the fleet's reconciler.
//
// The first start makes one of its environment (LINESHAFT_MODEL, LINESHAFT_REPLICAS, LINESHAFT_ROLES, LINESHAFT_PLACEMENT), and
// later starts make that one anew, until a person publishes it: then what is stored wins. A deployment whose model is not on
// this machine is fetched first; one that fails shows why and does not hold the others up.
import { rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { planThreads } from "../../engines/embedded/launch.ts";
import { machineMemory, reserveBytes } from "../../engines/embedded/memory.ts";
import type { EngineRegistry } from "../../engines/index.ts";
import {
  checkDeployment,
  countOf,
  manifestOf,
  ManifestError,
  Reconciler,
  shortageOf,
  shortageText,
  type ChildStatus,
  type DeploymentFailure,
  type DeploymentSpec,
  workerRoles,
  type FleetWorker,
  type Home,
  type Supervisor,
  type WantedDeployment,
  type WorkerRole,
} from "../../fleet/index.ts";
import { ApiError, nearest } from "../../gateway/index.ts";
import type { Deployments } from "../../gateway/api/routes/deployments.ts";
import type { DeploymentResource } from "../../gateway/api/schemas.ts";
import type { Principal } from "../../governance/types.ts";
import type { Ledger } from "../../ledger/index.ts";
import {
  catalogue,
  defaultRates,
  ensureModel,
  findModel,
  readModelShape,
  type LocalModel,
  type ModelShape,
  type Progress,
} from "../../models/index.ts";
import type { Database } from "../../store/index.ts";
import type { Logger } from "../../telemetry/index.ts";
import type { Settings } from "../settings.ts";
import { CliError } from "../errors.ts";
import { drainWorker, kvFolderOf, relabelWorker, workerBytes, workerSpec } from "./worker.ts";

interface Rooms {
  db: Database;
  ledger: Ledger;
  organisation: { id: string; currency: string };
  engines: EngineRegistry;
  home: Home;
  supervisor: Supervisor;
  settings: Settings;
  log: Logger;
  report: { download(progress: Progress): void; note(line: string): void };
  /** Aborts what is fetched. */
  signal: AbortSignal;
}

interface StoredDeployment {
  [column: string]: unknown;
  name: string;
  organisation: string;
  manifest: unknown;
  source: "environment" | "published";
  created_at: Date;
  updated_at: Date;
}

/** A deployment with what is known of it in this process. */
interface Known {
  row: StoredDeployment;
  spec: DeploymentSpec;
  model?: LocalModel;
  shape?: ModelShape | undefined;
  /** Why its model cannot be had. */
  failure?: DeploymentFailure;
}

export class InstanceDeployments implements Deployments {
  readonly #rooms: Rooms;
  readonly #known = new Map<string, Known>();
  readonly #models = new Map<string, Promise<LocalModel>>();
  readonly #reconciler: Reconciler;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
    const { engines, supervisor } = rooms;
    this.#reconciler = new Reconciler({
      supervisor,
      hands: {
        spec: (worker) => {
          const { spec, model } = this.#known.get(worker.deployment)!;
          return workerSpec(worker, spec, model!, rooms);
        },
        relabel: (worker) => relabelWorker(worker, engines),
        drain: (worker) => drainWorker(worker, engines),
        machine: () => ({
          freeBytes: freeBytes(),
          threadsOf: (workers) => planThreads(availableParallelism(), workers),
        }),
      },
    });
  }

  /**
   * Brings about what is stored, or what the environment says. Throws when the environment's own deployment does not come up;
   * of one that was published it is noted, so that it can be put right while the rest serves.
   */
  async start(): Promise<void> {
    const { report, settings } = this.#rooms;
    const rows = await this.#stored();
    if (rows.length === 0 || rows.some(({ source }) => source === "environment")) await this.#fromEnvironment(rows);
    else if (settings.LINESHAFT_REPLICAS ?? settings.LINESHAFT_ROLES ?? settings.LINESHAFT_PLACEMENT)
      report.note(
        "LINESHAFT_REPLICAS, LINESHAFT_ROLES and LINESHAFT_PLACEMENT are for the first start; deployments that were published stay as they are.",
      );
    for (const row of await this.#stored()) this.#remember(row);
    await Promise.all([...this.#known.values()].map((known) => this.#prepare(known)));
    this.#want();
    await this.#reconciler.settled();
    for (const known of this.#known.values()) {
      const failure = this.#failureOf(known);
      if (!failure) continue;
      if (known.row.source === "environment") throw failure.cause ?? startError(known, failure);
      report.note(`Deployment ${known.row.name} is not up: ${failure.message} ${failure.hint}`);
    }
  }

  /** Plans nothing any more; the workers are the supervisor's to stop. */
  close(): void {
    this.#reconciler.close();
  }

  /** Models that are served, for the lines that a person sees at the start. */
  served(): { name: string; model: LocalModel; workers: number }[] {
    return [...this.#known.values()].flatMap(({ row, spec, model }) =>
      model ? [{ name: row.name, model, workers: countOf(spec.roles) }] : [],
    );
  }

  async list(): Promise<DeploymentResource[]> {
    const children = new Map(this.#rooms.supervisor.status().map((child) => [child.name, child]));
    const workers = this.#reconciler.workers();
    return [...this.#known.values()].map((known) => this.#resource(known, workers, children));
  }

  async publish(principal: Principal, spec: DeploymentSpec): Promise<{ changed: boolean }> {
    const before = this.#known.get(spec.name);
    await this.#checkName(principal, spec.name, before);
    const next = { spec, ...(await this.#checkModel(spec)) };
    this.#checkMemory(next);
    const manifest = JSON.stringify(manifestOf(spec));
    const changed = !before || JSON.stringify(manifestOf(before.spec)) !== manifest;
    const { rows } = await this.#rooms.db.query<StoredDeployment>(
      `insert into deployments (name, organisation, manifest, source) values ($1, $2, $3, 'published')
       on conflict (name) do update set source = 'published', manifest = excluded.manifest,
         updated_at = case when $4 then now() else deployments.updated_at end
       returning *`,
      [spec.name, principal.organisation, manifest, changed],
    );
    const known = this.#remember(rows[0]!);
    if (!changed) return { changed };
    const prepared = this.#prepare(known).then(() => this.#want());
    // What is here already is begun before the answer; what has to be fetched takes its time.
    if (next.model) await prepared;
    return { changed };
  }

  async remove(principal: Principal, name: string): Promise<boolean> {
    const known = this.#known.get(name);
    if (!known || known.row.organisation !== principal.organisation) return false;
    if (this.#known.size === 1)
      throw new ApiError({
        status: 409,
        code: "last_deployment",
        message: `${name} is the only deployment; without any, the next start would make the usual one again.`,
        hint: `To serve nothing here: npx lineshaft deployments scale ${name} --replicas 0`,
      });
    await this.#rooms.db.query("delete from deployments where name = $1", [name]);
    this.#known.delete(name);
    this.#rooms.engines.configure(name, {});
    this.#want();
    void this.#eraseKv(name);
    return true;
  }

  /** Parked KV is prompts: it goes when the last worker that may write it has gone. */
  async #eraseKv(name: string): Promise<void> {
    await this.#reconciler.settled();
    if (this.#known.has(name)) return;
    await rm(kvFolderOf(this.#rooms.home, name), { recursive: true, force: true }).catch((error: Error) =>
      this.#rooms.log.error({ deployment: name, why: error.message }, "parked KV of a removed deployment is left"),
    );
  }

  async #stored(): Promise<StoredDeployment[]> {
    const { rows } = await this.#rooms.db.query<StoredDeployment>(
      "select * from deployments order by created_at, name",
    );
    return rows;
  }

  /** Writes down what the environment says, in place of what a start before wrote down. */
  async #fromEnvironment(rows: StoredDeployment[]): Promise<void> {
    const { db, settings, organisation } = this.#rooms;
    const { name } = await this.#model(undefined);
    const spec = environmentSpec(name, settings);
    await db.transaction(async (client) => {
      for (const row of rows)
        if (row.source === "environment" && row.name !== name)
          await client.query("delete from deployments where name = $1", [row.name]);
      await client.query(
        `insert into deployments (name, organisation, manifest, source) values ($1, $2, $3, 'environment')
         on conflict (name) do update set manifest = excluded.manifest, updated_at = now()
         where deployments.source = 'environment' and deployments.manifest <> excluded.manifest`,
        [name, organisation.id, JSON.stringify(manifestOf(spec))],
      );
    });
  }

  #remember(row: StoredDeployment): Known {
    const spec = checkDeployment(row.manifest);
    const before = this.#known.get(row.name);
    const known: Known = { row, spec };
    // What is known of the model stays known while it is the same one.
    if (before?.model && before.spec.model === spec.model)
      Object.assign(known, { model: before.model, shape: before.shape });
    this.#known.set(row.name, known);
    this.#rooms.engines.configure(row.name, { placement: spec.placement });
    return known;
  }

  /** Has the model of a deployment on this machine, and a price for it. Never throws. */
  async #prepare(known: Known): Promise<void> {
    const { ledger, log } = this.#rooms;
    const { name, organisation } = known.row;
    try {
      known.model = await this.#model(known.spec.model);
      known.shape = await readModelShape(known.model.path);
      if (!(await ledger.currentRateCard(organisation, name)))
        await ledger.setRateCard({
          ...{ organisation, model: name, currency: this.#rooms.organisation.currency },
          ...defaultRates(known.model.bytes),
        });
    } catch (error) {
      const { code, why, message, hint } = error as { code?: string; why?: string; message: string; hint?: string };
      log.warn({ deployment: name, why: message }, "a deployment cannot be served");
      known.failure = {
        code: code ?? "deployment_failed",
        message: why ? `${message} ${why}` : message,
        hint: hint ?? "Publish it again to try once more.",
        cause: error,
      };
    }
  }

  /** A model of the catalogue or a file, fetched once; one that could not be had is tried again the next time. */
  #model(wanted: string | undefined): Promise<LocalModel> {
    const { settings, home, report, signal } = this.#rooms;
    const name = wanted ?? settings.LINESHAFT_MODEL;
    const key = name ?? "";
    let model = this.#models.get(key);
    if (!model) {
      model = ensureModel(name, {
        cacheFolder: home.modelsFolder,
        onProgress: (progress) => report.download(progress),
        onFailure: (line) => report.note(line),
        signal,
      });
      this.#models.set(key, model);
      model.catch(() => this.#models.delete(key));
    }
    return model;
  }

  #want(): void {
    this.#reconciler.want([...this.#known.values()].flatMap((known) => (known.model ? [wantedOf(known)] : [])));
  }

  async #checkName(principal: Principal, name: string, before: Known | undefined): Promise<void> {
    const { rows } = await this.#rooms.db.query("select 1 from engines where name = $1", [name]);
    if (!rows[0] && (!before || before.row.organisation === principal.organisation)) return;
    throw new ApiError({
      status: 409,
      code: "name_taken",
      message: `The name ${name} is taken.`,
      param: "name",
      hint: "Choose another name; callers write it as `model`.",
    });
  }

  /** The model where it is on this machine; one of the catalogue may still have to be fetched. */
  async #checkModel({ model: wanted }: DeploymentSpec): Promise<Pick<Known, "model" | "shape">> {
    const isPath = wanted !== undefined && /[/\\]/.test(wanted);
    if (wanted !== undefined && !isPath && !findModel(wanted)) {
      const names = catalogue.map(({ name }) => name);
      const near = nearest(wanted, names);
      throw new ApiError({
        status: 400,
        code: "model_unknown",
        message: `No model is named ${wanted}.`,
        param: "model",
        hint: `${near === undefined ? "" : `Did you mean ${near}? `}The catalogue has ${names.join(", ")}.`,
      });
    }
    if (wanted !== undefined && !isPath && !this.#models.has(wanted)) return {};
    try {
      const model = await this.#model(wanted);
      return { model, shape: await readModelShape(model.path) };
    } catch (error) {
      const { code, message, why, hint } = error as { code?: string; message: string; why?: string; hint?: string };
      throw new ApiError({
        ...{ status: 400, code: code ?? "model_file_broken", param: "model", hint },
        message: why ? `${message} ${why}` : message,
      });
    }
  }

  #checkMemory(next: Pick<Known, "spec" | "model" | "shape">): void {
    if (!next.model) return;
    const { name, roles } = next.spec;
    const others = [...this.#known.values()].filter((known) => known.model && known.row.name !== name).map(wantedOf);
    const mine = wantedOf(next as Known);
    const shortage = shortageOf([...others, mine], this.#reconciler.workers(), freeBytes(), name);
    if (!shortage) return;
    const { code, message, hint } = shortageText(name, countOf(roles), shortage);
    throw new ApiError({ status: 409, code, message, hint });
  }

  #failureOf(known: Known): DeploymentFailure | undefined {
    return known.failure ?? this.#reconciler.failureOf(known.row.name);
  }

  #resource(known: Known, all: FleetWorker[], children: Map<string, ChildStatus>): DeploymentResource {
    const { row, spec } = known;
    const workers = all.filter(({ deployment }) => deployment === row.name);
    const failure = this.#failureOf(known);
    const has = (role: WorkerRole) => workers.filter((worker) => worker.role === role).length;
    const steady =
      workers.every(({ phase }) => phase === "ready") && workerRoles.every((role) => has(role) === spec.roles[role]);
    return {
      name: row.name,
      manifest: { ...manifestOf(spec) },
      source: row.source,
      state: failure ? "failed" : steady ? "ready" : "changing",
      error: failure ? { code: failure.code, message: failure.message, hint: failure.hint } : null,
      notes: threadNotes(spec, workers),
      endpoints: workers.map(({ name, role, phase, threads }) => ({
        ...{ endpoint: name, role, threads },
        state: phase === "ready" && children.get(name)?.state === "restarting" ? "restarting" : phase,
      })),
      created_at: row.created_at.toISOString(),
      updated_at: row.updated_at.toISOString(),
    };
  }
}

function freeBytes(): number {
  const { availableBytes, totalBytes } = machineMemory();
  return availableBytes - reserveBytes(totalBytes);
}

function wantedOf({ spec, model, shape }: Known): WantedDeployment {
  const { name, roles, threads, slots, contextTokens, kvBudgetBytes } = spec;
  const launch = JSON.stringify({ model: model!.path, slots, contextTokens, threads, kvBudgetBytes });
  return { name, roles, launch, threads, bytes: workerBytes(spec, model!, shape) };
}

/** What the environment says of the first deployment. Throws a CliError that names the variable. */
function environmentSpec(name: string, settings: Settings): DeploymentSpec {
  const { LINESHAFT_REPLICAS: replicas, LINESHAFT_ROLES: roles, LINESHAFT_PLACEMENT: placement } = settings;
  try {
    return checkDeployment({
      ...{ kind: "Deployment", name },
      ...(replicas !== undefined && { replicas }),
      ...(roles && { roles }),
      ...(placement !== undefined && { placement }),
    });
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    const { path, message } = error.problems[0]!;
    throw new CliError({
      exitCode: 2,
      code: "setting_wrong",
      message: `LINESHAFT_${path.split(".")[0]!.toUpperCase()} cannot be used.`,
      why: `${path} ${message}.`,
      hint: "Change or unset it; docs/configuration.md lists what every variable may be.",
    });
  }
}

function startError({ row }: Known, failure: DeploymentFailure): CliError {
  return new CliError({
    code: failure.code,
    message: `${row.name} cannot be served.`,
    why: failure.message,
    hint: failure.hint,
  });
}

/** Threads are given at a worker's start; a person should know when that has left them uneven. */
function threadNotes(spec: DeploymentSpec, workers: FleetWorker[]): string[] {
  const counts = new Set(workers.map(({ threads }) => threads));
  if (spec.threads !== undefined || counts.size < 2) return [];
  const shares = workers.map(({ name, threads }) => `${name} ${threads}`).join(", ");
  return [
    `Threads are shared out when a worker starts, and differ now (${shares}). Give \`threads\` in the manifest to replace the workers one after another.`,
  ];
}
