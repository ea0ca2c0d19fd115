// What the HTTP surface is made of; the composition root hands it over.
import type { EngineRegistry } from "../engines/index.ts";
import type { Gateway, SchedulerSnapshot } from "../gateway/index.ts";
import type { Identity, Limiter, Seal } from "../governance/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Database } from "../store/index.ts";
import type { Alarms, LiveEvents, Logger, Metrics } from "../telemetry/index.ts";
import type { FileStore } from "../gateway/batches/files.ts";
import type { BatchStore } from "../gateway/batches/store.ts";
import type { ResponsesState } from "../gateway/responses/state.ts";
import type { Storage } from "../gateway/types.ts";
import type { ApiApp } from "./apiApp.ts";
import type { HouseEvent } from "./resources/live.ts";
import type { InstanceStatus } from "./resources/status.ts";

/** What the routes of `/api` are made of: also what the server itself has made. */
export interface ApiDependencies extends ServerDependencies {
  /** Stored responses and conversations. */
  stored: ResponsesState;
  batches: BatchStore;
  files: FileStore;
}

export interface ServerDependencies {
  gateway: Gateway;
  identity: Identity;
  ledger: Ledger;
  /** What is used of the limits, and a limit that was set here. */
  limiter: Pick<Limiter, "usedOf" | "changed">;
  /** Reads the routes of models that were set here, so that the gateway goes by them when the answer is sent. */
  routesChanged: () => Promise<void>;
  engines: EngineRegistry;
  db: Database;
  /** Closes answers that hold a secret, for the day in which they may be asked for again. */
  seal: Seal;
  events: LiveEvents<HouseEvent>;
  metrics: Metrics;
  /** Prometheus' text of every process of this machine; the metrics of this process where absent. */
  metricsOfAll?: () => Promise<string>;
  /** The schedulers of every process of this machine; that of this process where absent. */
  schedulers?: () => Promise<SchedulerSnapshot[]>;
  alarms: Alarms;
  log: Logger;
  /** What the composition knows of the whole; the caller's organisation, project and role are added per request. */
  status: () => Promise<InstanceStatus>;
  /** Whether /metrics answers without a key: only where the server listens on loopback alone. */
  openMetrics?: boolean;
  /** Absent: the database is elsewhere, and says itself when its disk is full. */
  storage?: Storage | undefined;
  /** Built console; without it /console says how to build it. */
  consoleFolder?: string;
  /** Routes of parts that only some instances have, with whole paths. */
  routes?: ApiApp[];
}
