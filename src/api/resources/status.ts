// The whole instance as the API shows it: its processes, what each holds in memory, and what its engines say of themselves.
import { treeMemory, type ChildStatus, type DeploymentState, type Disk, type Supervisor } from "../../fleet/index.ts";
import {
  kindOf,
  type EndpointFacts,
  type EngineRegistry,
  type RegisteredEndpoint,
  type WorkerEngine,
} from "../../engines/index.ts";
import type { WorkerStatus } from "../../engines/embedded/protocol.ts";
import { clientsOf } from "./clients.ts";
import { deploymentResource } from "./deployment.ts";
import type {
  ComponentStatus,
  DeploymentResource,
  DeploymentStatus,
  EndpointStatus,
  Status,
} from "../../contract/index.ts";

/** What /api/status answers, without the caller's part. */
export type InstanceStatus = Omit<Status, "organisation" | "project" | "role" | "alarms">;

interface StatusSources {
  version: string;
  address: string;
  startedAt: Date;
  supervisor: Supervisor;
  engines: EngineRegistry;
  deployments: { list(): DeploymentState[] };
  disk: Pick<Disk, "full" | "free">;
  /** Components that run elsewhere, by name. */
  external: string[];
  /** How other processes of this machine see the endpoints; absent where this process serves alone. */
  elsewhere?: () => Promise<EndpointView[]>;
}

/** How one process sees an endpoint: its calls there, and what they say of it. */
export interface EndpointView {
  endpoint: string;
  running: number;
  up: boolean | undefined;
  standing: RegisteredEndpoint["standing"];
  lastError: string | undefined;
}

/** How this process sees its endpoints. */
export function endpointViews(engines: EngineRegistry): EndpointView[] {
  return engines.list().map(({ endpoint, running, up, standing, lastError }) => ({
    endpoint,
    running,
    up,
    standing,
    lastError,
  }));
}

/** An endpoint in one of these serves nothing, and it is not about to. */
const away = new Set<EndpointStatus["state"]>(["down", "ejected", "trial"]);

/** Workers of this machine are judged by their calls here; whether their processes live is told by their components. */
const ejected = new Set<EndpointStatus["state"]>(["ejected", "trial"]);

/** A component in one of these is in trouble. A worker that starts or leaves as it was told to is not. */
const illStates = new Set<ComponentStatus["state"]>(["restarting", "failed", "stopped"]);

/** What /api/status answers, without the caller's part. Asks every worker; one that does not answer is `down`, and nothing is thrown. */
export async function instanceStatus(sources: StatusSources): Promise<InstanceStatus> {
  const children = sources.supervisor.status();
  const trees = treeMemory([process.pid]);
  const components: ComponentStatus[] = [
    {
      name: "main",
      state: "ready",
      pid: process.pid,
      restarts: 0,
      started_at: sources.startedAt.toISOString(),
      rss_bytes: process.memoryUsage.rss(),
    },
    ...children.map(componentOf),
    ...sources.external.map((name): ComponentStatus => ({ name, state: "external", restarts: 0 })),
  ];
  const wanted = sources.deployments.list().map(deploymentResource);
  const own = await Promise.all(wanted.map((deployment) => ownDeployment(deployment, sources, children)));
  const elsewhere = (await sources.elsewhere?.()) ?? [];
  const added = Map.groupBy(
    sources.engines
      .list()
      .filter(({ kind }) => kind !== "embedded")
      .map((one) => seenByAll(one, elsewhere)),
    ({ name }) => name,
  );
  const others = [...added].map(([name, endpoints]) => addedEngine(name, endpoints));
  const troubles = [
    ...(sources.disk.full ? ["The disk of the home is full (storage_full): calls and changes wait for room."] : []),
    ...components.flatMap((component) => componentTrouble(component)),
    ...wanted.flatMap(({ name, state, error }) =>
      state === "failed"
        ? [`Model ${name} is not served as wanted: ${error?.message ?? "its workers do not run."}`]
        : [],
    ),
    ...own.flatMap((deployment) => endpointTrouble(`Model ${deployment.name}`, deployment, ejected)),
    ...others.flatMap((engine) => endpointTrouble(`Engine ${engine.name}`, engine, away)),
  ];
  return {
    version: sources.version,
    address: sources.address,
    started_at: sources.startedAt.toISOString(),
    healthy: troubles.length === 0,
    troubles,
    components,
    deployments: [...own, ...others],
    storage: { state: sources.disk.full ? "storage_full" : "ok", free_bytes: sources.disk.free },
    memory: { total_rss_bytes: trees.get(process.pid) ?? process.memoryUsage.rss() },
  };
}

function componentTrouble({ name, state, last_error }: ComponentStatus): string[] {
  if (!illStates.has(state)) return [];
  return [`${name} is ${state}${last_error === undefined ? "." : `: ${last_error}`}`];
}

/** It is in trouble as soon as one of its endpoints is in one of `states`: calls to it may fail. */
function endpointTrouble(
  who: string,
  { endpoints }: DeploymentStatus,
  states: ReadonlySet<EndpointStatus["state"]>,
): string[] {
  const ill = endpoints.filter(({ state }) => states.has(state));
  if (ill.length === 0) return [];
  const does = ill.every(({ state }) => state === "down") ? "does not answer" : "fails or hangs";
  const where = endpoints.length === 1 ? "" : ` at ${ill.length} of its ${endpoints.length} endpoints`;
  return [`${who} ${does}${where}. ${ill[0]!.error ?? ""}`.trim()];
}

/** A child process in the API's shape. */
export function componentOf(child: ChildStatus): ComponentStatus {
  return {
    name: child.name,
    state: child.state,
    restarts: child.restarts,
    ...(child.pid !== undefined && { pid: child.pid }),
    ...(child.startedAt && { started_at: child.startedAt.toISOString() }),
    ...(child.rssBytes !== undefined && { rss_bytes: child.rssBytes }),
    ...(child.lastError !== undefined && { last_error: child.lastError }),
  };
}

/** A deployment of this machine: what is wanted, and what each of its workers says of itself. */
async function ownDeployment(
  deployment: DeploymentResource,
  { engines }: StatusSources,
  children: ChildStatus[],
): Promise<DeploymentStatus> {
  let disk: DeploymentStatus["disk"];
  const endpoints = await Promise.all(
    deployment.endpoints.map(async ({ endpoint, role, state, threads }): Promise<EndpointStatus> => {
      const base = { endpoint, role, threads };
      const known = engines.get(endpoint);
      const lastError = children.find(({ name }) => name === endpoint)?.lastError;
      if (state !== "ready" || !known) return { ...base, state, ...(lastError !== undefined && { error: lastError }) };
      try {
        const now = await (known.engine as WorkerEngine).status();
        disk ??= { used_bytes: now.disk.usedBytes, budget_bytes: now.disk.budgetBytes, files: now.disk.files };
        return { ...base, ...stateOf(known), ...workerFacts(now) };
      } catch (error) {
        return { ...base, state: "down", error: (error as Error).message };
      }
    }),
  );
  const ready = endpoints.filter(({ state }) => state === "ready").length;
  const whole = deployment.state === "ready" && ready === endpoints.length;
  const state =
    endpoints.length === 0 && deployment.state === "ready"
      ? "off"
      : whole
        ? "ready"
        : ready > 0
          ? "partial"
          : deployment.state === "failed" || endpoints.every((one) => away.has(one.state))
            ? "down"
            : "starting";
  const facts = engines.resolve(deployment.name)?.facts;
  return {
    name: deployment.name,
    engine: "embedded",
    ...saidBy(facts, endpoints),
    state,
    endpoints,
    placement: String(deployment.manifest["placement"]),
    ...(disk && { disk }),
    ...(deployment.error && { error: deployment.error.message }),
  };
}

function workerFacts(now: WorkerStatus): Partial<EndpointStatus> {
  const { memory, sampling, totals } = now;
  return {
    context_tokens: now.contextTokens,
    slots: now.slots,
    running: now.running,
    waiting: now.waiting,
    sampling: {
      temperature: sampling.temperature,
      top_p: sampling.topP,
      top_k: sampling.topK,
      min_p: sampling.minP,
      repetition_penalty: sampling.repetitionPenalty,
      source: sampling.source,
    },
    memory: { rss_bytes: memory.rssBytes, model_bytes: memory.modelBytes, kv_bytes: memory.kvBytes },
    sequences: now.sequences.map(({ id, state, tokens, program }) => ({
      id,
      state,
      tokens,
      ...(program && { program }),
    })),
    totals: {
      calls: totals.calls,
      prompt_tokens: totals.promptTokens,
      computed_tokens: totals.computedTokens,
      cached_device_tokens: totals.cachedDeviceTokens,
      cached_disk_tokens: totals.cachedDiskTokens,
      output_tokens: totals.outputTokens,
      parks: totals.parks,
      restores: totals.restores,
    },
  };
}

/** An added endpoint as all processes see it: their calls together, and its state by a process whose calls it serves where one does. */
function seenByAll(own: RegisteredEndpoint, elsewhere: EndpointView[]): SeenEndpoint {
  const { name, endpoint, kind, role, facts } = own;
  const views = [own, ...elsewhere.filter((view) => view.endpoint === endpoint)];
  const serves = ({ up, standing }: Omit<EndpointView, "running">) => up !== false && standing === "serving";
  const { up, standing, lastError } = views.find(serves) ?? own;
  return {
    name,
    endpoint,
    kind,
    role,
    facts,
    up,
    standing,
    lastError,
    running: views.reduce((sum, one) => sum + one.running, 0),
  };
}

type SeenEndpoint = EndpointView & Pick<RegisteredEndpoint, "name" | "kind" | "role" | "facts">;

/** Whether calls go there, and what speaks against it otherwise. */
function stateOf({
  up,
  standing,
  lastError,
}: Pick<EndpointView, "up" | "standing" | "lastError">): Pick<EndpointStatus, "state" | "error"> {
  const state = up === false ? "down" : standing !== "serving" ? standing : up ? "ready" : "starting";
  return { state, ...(state !== "ready" && lastError !== undefined && { error: lastError }) };
}

/** An engine that was added, with its endpoints. */
function addedEngine(name: string, registered: SeenEndpoint[]): DeploymentStatus {
  const endpoints = registered.map((one): EndpointStatus => ({
    endpoint: one.endpoint,
    role: one.role,
    running: one.running,
    ...stateOf(one),
    ...(one.facts?.contextTokens !== undefined && { context_tokens: one.facts.contextTokens }),
  }));
  const all = (state: EndpointStatus["state"]) => endpoints.every((one) => one.state === state);
  const some = endpoints.some(({ state }) => state === "ready");
  const state = all("ready") ? "ready" : some ? "partial" : all("starting") ? "starting" : "down";
  const facts = registered.find((one) => one.facts)?.facts;
  return { name, engine: registered[0]?.kind ?? "openai", ...saidBy(facts, endpoints), state, endpoints };
}

/** What a model does, and the agents that its longest context holds, as far as its endpoints have said it. */
function saidBy(
  facts: EndpointFacts | undefined,
  endpoints: readonly EndpointStatus[],
): Pick<DeploymentStatus, "kind" | "clients"> {
  if (!facts) return {};
  const kind = kindOf(facts.capabilities);
  const longest = Math.max(0, ...endpoints.map(({ context_tokens = 0 }) => context_tokens));
  return { kind, ...(kind === "generate" && longest > 0 && { clients: clientsOf(longest) }) };
}
