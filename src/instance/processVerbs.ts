// What the main process and a gateway process do for each other (link.ts). Main has the children, the deployments and the runs; the
// gateway processes have the clients and their calls.
import type { DurableOptions } from "../agents/index.ts";
import type { DeploymentVerbs, EndpointView, InstanceStatus } from "../api/index.ts";
import type { EndpointFacts, EndpointRole } from "../engines/index.ts";
import type { DeploymentSpec } from "../fleet/index.ts";
import type { SchedulerSnapshot } from "../gateway/index.ts";
import type { MetricFamily } from "../telemetry/index.ts";

/** What a gateway process is told at its start, beyond the environment that it inherits. */
export interface GatewayStart {
  /** Its name among the components, such as `gateway-1`. */
  name: string;
  version: string;
  /** As the role of run time. Main has migrated it. */
  databaseUrl: string;
  restate: Omit<DurableOptions, "replaceStorage">;
  consoleFolder: string | undefined;
}

/** A worker of the embedded engine: where it is reached, and as what. */
export interface WorkerView {
  deployment: string;
  endpoint: string;
  model: string;
  role: EndpointRole;
  node: string | undefined;
  facts: EndpointFacts | undefined;
  url: string;
  token: string;
  /** Its model makes embeddings. */
  embeds: boolean;
}

/** A deployment's settings, as the registry keeps them. */
interface SettingsView {
  deployment: string;
  placement?: string;
  firstTokenMs?: number;
}

/** The metrics of one process. */
export interface ProcessMetrics {
  process: string;
  families: MetricFamily[];
}

/** What a gateway process does for main. */
export type GatewayVerbs = {
  start(start: GatewayStart): void;
  /** A worker is in service, anew or under another role. */
  worker(worker: WorkerView): void;
  workerGone(endpoint: string): void;
  /** Its process has ended and is being started again: its calls wait, or go elsewhere. */
  workerLost(endpoint: string): void;
  configured(settings: SettingsView): void;
  /** Calls of this process under way at an endpoint. */
  running(endpoint: string): number;
  endpoints(): EndpointView[];
  metrics(): Promise<MetricFamily[]>;
  scheduler(): SchedulerSnapshot;
  /** Resolves when the records of every call that has ended here are in the database. */
  flushed(): Promise<void>;
  /** Drops what is kept of a project's prompts. */
  forget(project: string): void;
};

/** What main does for a gateway process. */
export type MainVerbs = {
  /** It listens. */
  ready(): void;
  /** A sign of life. */
  alive(): void;
  status(): Promise<InstanceStatus>;
  deployments(): ReturnType<DeploymentVerbs["list"]>;
  publish(wanted: { organisation: string; spec: DeploymentSpec }): Promise<{ changed: boolean }>;
  remove(which: { organisation: string; name: string }): Promise<boolean>;
  rebuild(): Promise<number>;
  resumeRestored(run: string | undefined): Promise<number>;
  /** Of all processes. */
  metrics(): Promise<ProcessMetrics[]>;
  schedulers(): Promise<SchedulerSnapshot[]>;
  /** Has every process write its records. */
  flushed(): Promise<void>;
  /** Has every other process drop what it keeps of a project's prompts. */
  forget(project: string): void;
};
