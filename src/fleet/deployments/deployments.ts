// Deployments of this instance: what was published, kept in Postgres and brought about by the reconciler.
//
// The first start makes one of its environment (LINESHAFT_MODEL, LINESHAFT_REPLICAS, LINESHAFT_ROLES, LINESHAFT_PLACEMENT), and
// later starts make that one anew, until a person publishes it: then what is stored wins. A deployment whose model is not on
// this machine is fetched first. One that fails shows why and does not hold the others up.
//
// Workers need no database, so a start brings up at once what ran before (`begin`, from a file in the home) while Postgres
// starts. When the database can be read, the reconciler corrects what has changed since, which is nearly always nothing.
//
// This room starts processes and knows no source of weights, no engine and no price: it asks the rooms that own them (`Hands`).
import { LineshaftError } from "../../errors/index.ts";
import type { Logger } from "../../telemetry/index.ts";
import type { Home } from "../home.ts";
import type { Supervisor } from "../supervisor.ts";
import type { ChildSpec, ChildStatus } from "../types.ts";
import { checkDeployment, manifestOf } from "./manifest.ts";
import { shortageText } from "./memory.ts";
import { contextNotes } from "./notes.ts";
import { shortageOf, type FleetWorker, type Machine, type WantedDeployment } from "./plan.ts";
import { Reconciler } from "./reconciler.ts";
import { remember, remembered } from "./remembered.ts";
import type { DeploymentTable, StoredDeployment } from "./table.ts";
import { countOf } from "./types.ts";
import type { DeploymentFailure, DeploymentSource, DeploymentSpec, ServableModel, ServableShape } from "./types.ts";

/** A model of this machine, with what its file says of it. */
interface Weights<Model extends ServableModel> {
  model: Model;
  shape: ServableShape | undefined;
}

/** What other rooms do for deployments. */
export interface Hands<Model extends ServableModel> {
  models: {
    /** Has a model on this machine; undefined: the instance's own. One that failed is tried again when `again` says so. */
    get(name: string | undefined, again?: boolean): Promise<Weights<Model>>;
    /** What is on this machine already; undefined where it must be fetched first. Throws for a name that is not known. */
    asked(name: string | undefined): Promise<Weights<Model> | undefined>;
  };
  workers: {
    /** How a worker is started and comes into service. */
    spec(worker: FleetWorker, deployment: DeploymentSpec, weights: Weights<Model>): ChildSpec;
    /** Puts a ready worker into service anew, under the role that it has now. */
    relabel(worker: FleetWorker): void;
    /** Takes a worker out of service and waits for its calls. Never throws. */
    drain(worker: FleetWorker): Promise<void>;
    /** Memory of one worker in bytes. */
    bytes(deployment: DeploymentSpec, weights: Weights<Model>): number;
    machine(): Machine;
    /** Erases what workers of this deployment parked on disk: it is prompts. */
    erase(deployment: string): Promise<void>;
  };
  /** How calls to it are placed; undefined: it is gone. */
  configure(name: string, spec: DeploymentSpec | undefined): void;
}

/** What needs the database. */
interface Books<Model extends ServableModel> {
  table: DeploymentTable;
  /** Owner of the environment's deployment. */
  organisation: string;
  /** Gives a deployment that has no price its default. */
  price(organisation: string, name: string, model: Model): Promise<void>;
  /** True when an engine that was added has the name. */
  isTaken(name: string): Promise<boolean>;
}

interface DeploymentsOptions<Model extends ServableModel> {
  hands: Hands<Model>;
  home: Home;
  supervisor: Supervisor;
  log: Logger;
  note(line: string): void;
  /** What the environment says of the first deployment. */
  environment: { spec(name: string): DeploymentSpec; isGiven: boolean };
}

/** A deployment as it is at this moment: what is wanted, and the workers there are. */
export interface DeploymentState {
  name: string;
  spec: DeploymentSpec;
  source: DeploymentSource;
  failure: DeploymentFailure | undefined;
  /** What its model was trained for, where the file says. */
  trainedContextTokens: number | undefined;
  workers: FleetWorker[];
  /** Children of the whole instance, by name. */
  children: ReadonlyMap<string, ChildStatus>;
  createdAt: Date;
  updatedAt: Date;
}

/** A deployment with what is known of it in this process. */
interface Known<Model extends ServableModel> {
  row: StoredDeployment;
  spec: DeploymentSpec;
  weights?: Weights<Model>;
  /** Why its model cannot be had. */
  failure?: DeploymentFailure;
}

/** A deployment whose model is here. */
interface Served<Model extends ServableModel> {
  spec: DeploymentSpec;
  weights: Weights<Model>;
}

/** The deployments of this instance. `begin` needs no database, `start` does, and everything else comes after `start`. */
export class Deployments<Model extends ServableModel> {
  readonly #options: DeploymentsOptions<Model>;
  readonly #hands: Hands<Model>;
  readonly #known = new Map<string, Known<Model>>();
  /** What the reconciler was told to bring about: what is published may be ahead of it while a model is fetched. */
  #serving = new Map<string, Served<Model>>();
  #begun: Promise<void> = Promise.resolve();
  #opened: Books<Model> | undefined;
  #wanted = "";
  readonly #reconciler: Reconciler;

  constructor(options: DeploymentsOptions<Model>) {
    this.#options = options;
    this.#hands = options.hands;
    const { workers } = options.hands;
    this.#reconciler = new Reconciler({
      supervisor: options.supervisor,
      hands: {
        spec: (worker) => {
          const { spec, weights } = this.#serving.get(worker.deployment)!;
          return workers.spec(worker, spec, weights);
        },
        relabel: (worker) => workers.relabel(worker),
        drain: (worker) => workers.drain(worker),
        machine: () => workers.machine(),
      },
    });
  }

  /** Begins to bring up what ran before, or what the environment says; `start` sees whether that is still wanted. */
  begin(): void {
    const { home, environment, log } = this.#options;
    const begin = async () => {
      const { fromEnvironment, published } = remembered(home);
      const own = fromEnvironment ? [environment.spec((await this.#hands.models.get(undefined)).model.name)] : [];
      const specs = [...own, ...published];
      this.#want(
        await Promise.all(specs.map(async (spec) => ({ spec, weights: await this.#hands.models.get(spec.model) }))),
      );
    };
    // `start` meets the same failure again and says it.
    this.#begun = begin().catch((error: Error) => log.debug({ why: error.message }, "nothing could be begun early"));
  }

  /**
   * Brings about what is stored, or what the environment says. Throws when the environment's own deployment does not come up. A
   * published one that does not come up is noted, so that it can be put right while the rest serves.
   */
  async start(books: Books<Model>): Promise<void> {
    this.#opened = books;
    const { note, environment } = this.#options;
    const rows = await books.table.all();
    if (rows.length === 0 || rows.some(({ source }) => source === "environment"))
      await books.table.replaceEnvironments(
        books.organisation,
        environment.spec((await this.#hands.models.get(undefined)).model.name),
      );
    else if (environment.isGiven)
      note(
        "LINESHAFT_REPLICAS, LINESHAFT_ROLES and LINESHAFT_PLACEMENT are for the first start; deployments that were published stay as they are.",
      );
    for (const row of await books.table.all()) this.#remember(row);
    await this.#begun;
    await Promise.all([...this.#known.values()].map((known) => this.#prepare(known)));
    this.#want([...this.#known.values()]);
    this.#writeDown();
    await this.#reconciler.settled();
    for (const known of this.#known.values()) {
      for (const line of contextNotes(known.spec, known.weights?.shape?.trainedContextTokens)) note(line);
      const failure = this.#failureOf(known);
      if (!failure) continue;
      if (known.row.source === "environment") throw failure.cause ?? startError(known.row.name, failure);
      note(`Deployment ${known.row.name} is not up: ${failure.message} ${failure.hint}`);
    }
  }

  /** Plans nothing any more; the supervisor stops the workers. */
  close(): void {
    this.#reconciler.close();
  }

  /** Models that are served, for the lines that a person sees at the start. */
  served(): { name: string; model: Model; workers: number }[] {
    return [...this.#known.values()].flatMap(({ row, spec, weights }) =>
      weights ? [{ name: row.name, model: weights.model, workers: countOf(spec.roles) }] : [],
    );
  }

  /** Every deployment, oldest first. */
  list(): DeploymentState[] {
    const children = new Map(this.#options.supervisor.status().map((child) => [child.name, child]));
    const workers = this.#reconciler.workers();
    return [...this.#known.values()].map((known) => ({
      name: known.row.name,
      spec: known.spec,
      source: known.row.source,
      failure: this.#failureOf(known),
      trainedContextTokens: known.weights?.shape?.trainedContextTokens,
      workers: workers.filter(({ deployment }) => deployment === known.row.name),
      children,
      createdAt: known.row.created_at,
      updatedAt: known.row.updated_at,
    }));
  }

  /**
   * Stores what is wanted and begins to bring it about. Throws LineshaftError when it cannot be: `name_taken`, `model_unknown`,
   * `model_file_broken`, `memory_short`.
   */
  async publish(organisation: string, spec: DeploymentSpec): Promise<{ changed: boolean }> {
    const before = this.#known.get(spec.name);
    await this.#checkName(organisation, spec.name, before);
    const weights = await this.#hands.models.asked(spec.model);
    if (weights) this.#checkMemory({ spec, weights });
    const changed = !before || JSON.stringify(manifestOf(before.spec)) !== JSON.stringify(manifestOf(spec));
    const row = await this.#books.table.publish(organisation, spec, changed);
    const failed = before && this.#failureOf(before);
    const known = this.#remember(row);
    this.#writeDown();
    // The same manifest again tries once more what has failed.
    if (!changed && !failed) return { changed };
    const prepared = this.#prepare(known, true).then(() => this.#want([...this.#known.values()], true));
    // A model that is here is begun before the answer; one that has to be fetched takes its time.
    if (weights) await prepared;
    return { changed };
  }

  /** False when the organisation has no deployment of that name. Throws LineshaftError `last_deployment`. */
  async remove(organisation: string, name: string): Promise<boolean> {
    const known = this.#known.get(name);
    if (!known || known.row.organisation !== organisation) return false;
    if (this.#known.size === 1)
      throw new LineshaftError({
        code: "last_deployment",
        message: `${name} is the only deployment; without any, the next start would make the usual one again.`,
        hint: `To serve nothing here: npx lineshaft deployments scale ${name} --replicas 0`,
      });
    await this.#books.table.remove(name);
    this.#known.delete(name);
    this.#writeDown();
    this.#hands.configure(name, undefined);
    this.#want([...this.#known.values()]);
    void this.#eraseParked(name);
    return true;
  }

  /** Parked KV is prompts: it goes when the last worker that may write it has gone. */
  async #eraseParked(name: string): Promise<void> {
    await this.#reconciler.settled();
    if (this.#known.has(name)) return;
    await this.#hands.workers
      .erase(name)
      .catch((error: Error) =>
        this.#options.log.error({ deployment: name, why: error.message }, "parked KV of a removed deployment is left"),
      );
  }

  get #books(): Books<Model> {
    if (!this.#opened) throw new TypeError("deployments were asked before the database was there");
    return this.#opened;
  }

  #remember(row: StoredDeployment): Known<Model> {
    const spec = checkDeployment(row.manifest);
    const before = this.#known.get(row.name);
    const known: Known<Model> = { row, spec };
    // What is known of the model stays known while it is the same one.
    if (before?.weights && before.spec.model === spec.model) known.weights = before.weights;
    this.#known.set(row.name, known);
    this.#hands.configure(row.name, spec);
    return known;
  }

  /** Has the model of a deployment on this machine, and a price for it. Never throws. */
  async #prepare(known: Known<Model>, again = false): Promise<void> {
    const { name, organisation } = known.row;
    try {
      known.weights = await this.#hands.models.get(known.spec.model, again);
      await this.#books.price(organisation, name, known.weights.model);
    } catch (error) {
      const { code, why, message, hint } = error as Partial<LineshaftError> & Error;
      this.#options.log.warn({ deployment: name, why: message }, "a deployment cannot be served");
      known.failure = {
        code: code ?? "deployment_failed",
        message: why ? `${message} ${why}` : message,
        hint: hint ?? "Publish it again to try once more.",
        cause: error,
      };
    }
  }

  /** Says what is wanted; the same again changes nothing, so that one start does not try twice what failed a moment ago. */
  #want(deployments: { spec: DeploymentSpec; weights?: Weights<Model> }[], again = false): void {
    const served = deployments.flatMap(({ spec, weights }) => (weights ? [{ spec, weights }] : []));
    this.#serving = new Map(served.map((one) => [one.spec.name, one]));
    const wanted = served.map((one) => this.#wantedOf(one));
    const text = JSON.stringify(wanted);
    if (text === this.#wanted && !again) return;
    this.#wanted = text;
    this.#reconciler.want(wanted);
  }

  #wantedOf({ spec, weights }: Served<Model>): WantedDeployment {
    const { name, roles, threads, slots, contextTokens, kvBudgetBytes } = spec;
    const launch = JSON.stringify({ model: weights.model.path, slots, contextTokens, threads, kvBudgetBytes });
    return { name, roles, launch, threads, bytes: this.#hands.workers.bytes(spec, weights) };
  }

  /** For the next start. A home that cannot be written is told where it matters more. */
  #writeDown(): void {
    const known = [...this.#known.values()].map(({ row: { source }, spec }) => ({ source, spec }));
    try {
      remember(this.#options.home, known);
    } catch (error) {
      this.#options.log.warn({ why: (error as Error).message }, "the next start cannot begin early");
    }
  }

  async #checkName(organisation: string, name: string, before: Known<Model> | undefined): Promise<void> {
    const isOthers = before !== undefined && before.row.organisation !== organisation;
    if (!isOthers && !(await this.#books.isTaken(name))) return;
    throw new LineshaftError({
      code: "name_taken",
      message: `The name ${name} is taken.`,
      param: "name",
      hint: "Choose another name; callers write it as `model`.",
    });
  }

  #checkMemory(next: Served<Model>): void {
    const { name, roles } = next.spec;
    const others = [...this.#known.values()].flatMap(({ row, spec, weights }) =>
      weights && row.name !== name ? [this.#wantedOf({ spec, weights })] : [],
    );
    const { freeBytes } = this.#hands.workers.machine();
    const shortage = shortageOf([...others, this.#wantedOf(next)], this.#reconciler.workers(), freeBytes, name);
    if (!shortage) return;
    const { code, message, hint } = shortageText(name, countOf(roles), shortage);
    throw new LineshaftError({ code, message, hint });
  }

  #failureOf(known: Known<Model>): DeploymentFailure | undefined {
    return known.failure ?? this.#reconciler.failureOf(known.row.name);
  }
}

function startError(name: string, { code, message, hint }: DeploymentFailure): LineshaftError {
  return new LineshaftError({ code, message: `${name} cannot be served.`, why: message, hint });
}
