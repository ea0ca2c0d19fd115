// What the composition knows of the whole: its processes, what each holds in memory, and what its engines say of themselves.
import { treeMemory, type ChildStatus, type Supervisor } from "../../fleet/index.ts";
import type { EmbeddedEngine, EngineRegistry, RegisteredEndpoint } from "../../engines/index.ts";
import type { ComponentStatus, DeploymentStatus, Status } from "../../gateway/api/schemas.ts";

export type InstanceStatus = Omit<Status, "organisation" | "project" | "role">;

export interface StatusSources {
  version: string;
  address: string;
  startedAt: Date;
  supervisor: Supervisor;
  engines: EngineRegistry;
  /** Components that run elsewhere, by name. */
  external: string[];
}

export async function instanceStatus(sources: StatusSources): Promise<InstanceStatus> {
  const children = sources.supervisor.status();
  const trees = treeMemory([process.pid]);
  const components: ComponentStatus[] = [
    {
      ...{ name: "main", state: "ready", pid: process.pid, restarts: 0 },
      ...{ started_at: sources.startedAt.toISOString(), rss_bytes: process.memoryUsage.rss() },
    },
    ...children.map(componentOf),
    ...sources.external.map((name): ComponentStatus => ({ name, state: "external", restarts: 0 })),
  ];
  const deployments = await Promise.all(sources.engines.list().map((endpoint) => deploymentOf(endpoint, children)));
  return {
    version: sources.version,
    address: sources.address,
    started_at: sources.startedAt.toISOString(),
    healthy: components.every(({ state }) => state === "ready" || state === "external"),
    components,
    deployments,
    memory: { total_rss_bytes: trees.get(process.pid) ?? process.memoryUsage.rss() },
  };
}

export function componentOf(child: ChildStatus): ComponentStatus {
  return {
    ...{ name: child.name, state: child.state, restarts: child.restarts },
    ...(child.pid !== undefined && { pid: child.pid }),
    ...(child.startedAt && { started_at: child.startedAt.toISOString() }),
    ...(child.rssBytes !== undefined && { rss_bytes: child.rssBytes }),
    ...(child.lastError !== undefined && { last_error: child.lastError }),
  };
}

async function deploymentOf(endpoint: RegisteredEndpoint, children: ChildStatus[]): Promise<DeploymentStatus> {
  const base = { name: endpoint.name, engine: endpoint.kind };
  if (endpoint.kind !== "embedded") {
    const state = endpoint.up === false ? "down" : endpoint.up ? "ready" : "starting";
    return {
      ...{ ...base, state, running: endpoint.running },
      ...(endpoint.facts?.contextTokens !== undefined && { context_tokens: endpoint.facts.contextTokens }),
      ...(endpoint.lastError !== undefined && { error: endpoint.lastError }),
    };
  }
  const child = children.find(({ name }) => name === endpoint.endpoint);
  if (child && child.state !== "ready")
    return { ...base, state: "starting", ...(child.lastError !== undefined && { error: child.lastError }) };
  try {
    const now = await (endpoint.engine as EmbeddedEngine).status();
    return {
      ...{ ...base, state: "ready", context_tokens: now.contextTokens, slots: now.slots },
      ...{ running: now.running, waiting: now.waiting },
      memory: {
        rss_bytes: now.memory.rssBytes,
        model_bytes: now.memory.modelBytes,
        kv_bytes: now.memory.kvBytes,
      },
      disk: { used_bytes: now.disk.usedBytes, budget_bytes: now.disk.budgetBytes, files: now.disk.files },
      sequences: now.sequences.map(({ id, state, tokens, program }) => ({
        id,
        state,
        tokens,
        ...(program && { program }),
      })),
      totals: {
        ...{ calls: now.totals.calls, prompt_tokens: now.totals.promptTokens },
        ...{ computed_tokens: now.totals.computedTokens, cached_device_tokens: now.totals.cachedDeviceTokens },
        ...{ cached_disk_tokens: now.totals.cachedDiskTokens, output_tokens: now.totals.outputTokens },
        ...{ parks: now.totals.parks, restores: now.totals.restores },
      },
    };
  } catch (error) {
    return { ...base, state: "down", error: (error as Error).message };
  }
}
