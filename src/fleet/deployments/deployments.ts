// Deployments of this instance: what was published, kept in Postgres and brought about by the fleet's reconciler.
//
// The first start makes one of its environment (LINESHAFT_MODEL, LINESHAFT_REPLICAS, LINESHAFT_ROLES, LINESHAFT_PLACEMENT), and
// later starts make that one anew, until a person publishes it: then what is stored wins. A deployment whose model is not on
// this machine is fetched first; one that fails shows why and does not hold the others up.
//
// Workers need no database, so a start brings up at once what ran before (`begin`, from a file in the home) while Postgres
// starts; when the truth can be read, the reconciler corrects what has changed since, which is nearly always nothing.
import { rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { planThreads } from "../../engines/embedded/launch.ts";
import { machineMemory, reserveBytes } from "../../engines/embedded/memory.ts";
import type { EngineRegistry } from "../../engines/index.ts";
import {
  checkDeployment,
  countOf,
  manifestOf,
  Reconciler,
  shortageOf,
  shortageText,
  type DeploymentFailure,
  type DeploymentSpec,
  type Home,
  type Supervisor,
  type WantedDeployment,
} from "../index.ts";
import { GatewayError as ApiError } from "../../gateway/index.ts";
import type { Deployments } from "../../api/routes/deployments.ts";
import type { DeploymentResource } from "../../contract/index.ts";
import type { Principal } from "../../governance/types.ts";
import type { Ledger } from "../../ledger/index.ts";
import { defaultRates, type LocalModel, type ModelShape } from "../../models/index.ts";
import type { Database } from "../../store/index.ts";
import type { Logger } from "../../telemetry/index.ts";
import { LineshaftError } from "../../errors/index.ts";
import type { Settings } from "../../instance/settings.ts";
import { DeploymentModels, type ModelSources } from "../../models/shelf.ts";
import { contextNotes, deploymentResource } from "../../api/resources/deployment.ts";
import { environmentSpec, remember, remembered, type DeploymentSource } from "./remembered.ts";
import { drainWorker, kvFolderOf, relabelWorker, workerBytes, workerSpec } from "../../engines/embedded/fleetWorker.ts";

/** What is there when the database is. */
interface Books {
  db: Database;
  ledger: Ledger;
  organisation: { id: string; currency: string };
}

interface Rooms {
  engines: EngineRegistry;
  home: Home;
  supervisor: Supervisor;
  settings: Settings;
  log: Logger;
  report: ModelSources["report"];
  /** Aborts what is fetched. */
  signal: AbortSignal;
}

interface StoredDeployment {
  [column: string]: unknown;
  name: string;
  organisation: string;
  manifest: unknown;
  source: DeploymentSource;
  created_at: Date;
  updated_at: Date;
}

/** What a deployment's workers are started by. */
interface Servable {
  spec: DeploymentSpec;
  model?: LocalModel;
  shape?: ModelShape | undefined;
}

type Served = Servable & { model: LocalModel };

/** A deployment with what is known of it in this process. */
interface Known extends Servable {
  row: StoredDeployment;
  /** Why its model cannot be had. */
  failure?: DeploymentFailure;
}

export class InstanceDeployments implements Deployments {
  readonly #rooms: Rooms;
  readonly #known = new Map<string, Known>();
  /** What the reconciler was told to bring about: what is published may be ahead of it while a model is fetched. */
  #serving = new Map<string, Served>();
  #begun: Promise<void> = Promise.resolve();
  #opened: Books | undefined;
  #wanted = "";
  readonly #models: DeploymentModels;
  readonly #reconciler: Reconciler;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
    const { engines, supervisor, home, settings, report, signal } = rooms;
    this.#models = new DeploymentModels({
      cacheFolder: home.modelsFolder,
      usual: settings.LINESHAFT_MODEL,
      report,
      signal,
    });
    this.#reconciler = new Reconciler({
      supervisor,
      hands: {
        spec: (worker) => {
          const { spec, model } = this.#serving.get(worker.deployment)!;
          return workerSpec(worker, spec, model, rooms);
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

  /** Begins to bring up what ran before, or what the environment says; whether that is still wanted is seen by `start`. */
  begin(): void {
    const { home, settings, log } = this.#rooms;
    const begin = async () => {
      const { fromEnvironment, published } = remembered(home);
      const own = fromEnvironment ? [environmentSpec((await this.#models.get(undefined)).model.name, settings)] : [];
      const specs = [...own, ...published];
      this.#want(await Promise.all(specs.map(async (spec) => ({ spec, ...(await this.#models.get(spec.model)) }))));
    };
    // What is wrong is said by `start`, which meets it again.
    this.#begun = begin().catch((error: Error) => log.debug({ why: error.message }, "nothing could be begun early"));
  }

  /**
   * Brings about what is stored, or what the environment says. Throws when the environment's own deployment does not come up;
   * of one that was published it is noted, so that it can be put right while the rest serves.
   */
  async start(books: Books): Promise<void> {
    this.#opened = books;
    const { report, settings } = this.#rooms;
    const rows = await this.#stored();
    if (rows.length === 0 || rows.some(({ source }) => source === "environment")) await this.#fromEnvironment(rows);
    else if (settings.LINESHAFT_REPLICAS ?? settings.LINESHAFT_ROLES ?? settings.LINESHAFT_PLACEMENT)
      report.note(
        "LINESHAFT_REPLICAS, LINESHAFT_ROLES and LINESHAFT_PLACEMENT are for the first start; deployments that were published stay as they are.",
      );
    for (const row of await this.#stored()) this.#remember(row);
    await this.#begun;
    await Promise.all([...this.#known.values()].map((known) => this.#prepare(known)));
    this.#want([...this.#known.values()]);
    this.#writeDown();
    await this.#reconciler.settled();
    for (const known of this.#known.values()) {
      for (const note of contextNotes(known.spec, known.shape?.trainedContextTokens)) report.note(note);
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
    return [...this.#known.values()].map((known) =>
      deploymentResource({
        row: known.row,
        spec: known.spec,
        failure: this.#failureOf(known),
        trainedContextTokens: known.shape?.trainedContextTokens,
        workers,
        children,
      }),
    );
  }

  async publish(principal: Principal, spec: DeploymentSpec): Promise<{ changed: boolean }> {
    const before = this.#known.get(spec.name);
    await this.#checkName(principal, spec.name, before);
    const next: Servable = { spec, ...(await this.#models.asked(spec.model)) };
    this.#checkMemory(next);
    const manifest = JSON.stringify(manifestOf(spec));
    const changed = !before || JSON.stringify(manifestOf(before.spec)) !== manifest;
    const { rows } = await this.#books.db.query<StoredDeployment>(
      `insert into deployments (name, organisation, manifest, source) values ($1, $2, $3, 'published')
       on conflict (name) do update set source = 'published', manifest = excluded.manifest,
         updated_at = case when $4 then now() else deployments.updated_at end
       returning *`,
      [spec.name, principal.organisation, manifest, changed],
    );
    const failed = before && this.#failureOf(before);
    const known = this.#remember(rows[0]!);
    this.#writeDown();
    // The same again tries once more what has failed.
    if (!changed && !failed) return { changed };
    const prepared = this.#prepare(known, true).then(() => this.#want([...this.#known.values()], true));
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
    await this.#books.db.query("delete from deployments where name = $1", [name]);
    this.#known.delete(name);
    this.#writeDown();
    this.#rooms.engines.configure(name, {});
    this.#want([...this.#known.values()]);
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

  get #books(): Books {
    if (!this.#opened) throw new TypeError("deployments were asked before the database was there");
    return this.#opened;
  }

  async #stored(): Promise<StoredDeployment[]> {
    const { rows } = await this.#books.db.query<StoredDeployment>(
      "select * from deployments order by created_at, name",
    );
    return rows;
  }

  /** Writes down what the environment says, in place of what a start before wrote down. */
  async #fromEnvironment(rows: StoredDeployment[]): Promise<void> {
    const { db, organisation } = this.#books;
    const { settings } = this.#rooms;
    const { name } = (await this.#models.get(undefined)).model;
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
    const { placement, firstTokenSeconds } = spec;
    this.#rooms.engines.configure(row.name, {
      placement,
      ...(firstTokenSeconds !== undefined && { firstTokenMs: 1000 * firstTokenSeconds }),
    });
    return known;
  }

  /** Has the model of a deployment on this machine, and a price for it. Never throws. */
  async #prepare(known: Known, again = false): Promise<void> {
    const { ledger } = this.#books;
    const { name, organisation } = known.row;
    try {
      Object.assign(known, await this.#models.get(known.spec.model, again));
      if (!(await ledger.currentRateCard(organisation, name)))
        await ledger.setRateCard({
          organisation,
          model: name,
          currency: this.#books.organisation.currency,
          ...defaultRates(known.model!.bytes),
        });
    } catch (error) {
      const { code, why, message, hint } = error as { code?: string; why?: string; message: string; hint?: string };
      this.#rooms.log.warn({ deployment: name, why: message }, "a deployment cannot be served");
      known.failure = {
        code: code ?? "deployment_failed",
        message: why ? `${message} ${why}` : message,
        hint: hint ?? "Publish it again to try once more.",
        cause: error,
      };
    }
  }

  /** Says what is wanted; the same again is no news, so that what failed a moment ago is not tried twice by one start. */
  #want(servable: Servable[], again = false): void {
    const served = servable.flatMap((one) => (one.model ? [{ ...one, model: one.model }] : []));
    this.#serving = new Map(served.map((one) => [one.spec.name, one]));
    const wanted = served.map(wantedOf);
    const text = JSON.stringify(wanted);
    if (text === this.#wanted && !again) return;
    this.#wanted = text;
    this.#reconciler.want(wanted);
  }

  /** For the next start. A home that cannot be written is told where it matters more. */
  #writeDown(): void {
    const known = [...this.#known.values()].map(({ row: { source }, spec }) => ({ source, spec }));
    try {
      remember(this.#rooms.home, known);
    } catch (error) {
      this.#rooms.log.warn({ why: (error as Error).message }, "the next start cannot begin early");
    }
  }

  async #checkName(principal: Principal, name: string, before: Known | undefined): Promise<void> {
    const { rows } = await this.#books.db.query("select 1 from engines where name = $1", [name]);
    if (!rows[0] && (!before || before.row.organisation === principal.organisation)) return;
    throw new ApiError({
      status: 409,
      code: "name_taken",
      message: `The name ${name} is taken.`,
      param: "name",
      hint: "Choose another name; callers write it as `model`.",
    });
  }

  #checkMemory(next: Servable): void {
    if (!next.model) return;
    const { name, roles } = next.spec;
    const others = [...this.#known.values()].flatMap((known) =>
      known.model && known.row.name !== name ? [wantedOf({ ...known, model: known.model })] : [],
    );
    const mine = wantedOf({ ...next, model: next.model });
    const shortage = shortageOf([...others, mine], this.#reconciler.workers(), freeBytes(), name);
    if (!shortage) return;
    const { code, message, hint } = shortageText(name, countOf(roles), shortage);
    throw new ApiError({ status: 409, code, message, hint });
  }

  #failureOf(known: Known): DeploymentFailure | undefined {
    return known.failure ?? this.#reconciler.failureOf(known.row.name);
  }
}

function freeBytes(): number {
  const { availableBytes, totalBytes } = machineMemory();
  return availableBytes - reserveBytes(totalBytes);
}

function wantedOf({ spec, model, shape }: Served): WantedDeployment {
  const { name, roles, threads, slots, contextTokens, kvBudgetBytes } = spec;
  const launch = JSON.stringify({ model: model.path, slots, contextTokens, threads, kvBudgetBytes });
  return { name, roles, launch, threads, bytes: workerBytes(spec, model, shape) };
}

function startError({ row }: Known, failure: DeploymentFailure): LineshaftError {
  return new LineshaftError({
    code: failure.code,
    message: `${row.name} cannot be served.`,
    why: failure.message,
    hint: failure.hint,
  });
}
