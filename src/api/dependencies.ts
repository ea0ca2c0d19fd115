// What the HTTP surface is made of; the composition root hands it over.
import type { Status } from "../contract/index.ts";
import type { EngineRegistry } from "../engines/index.ts";
import type { Gateway } from "../gateway/index.ts";
import type { Identity } from "../governance/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Database } from "../store/index.ts";
import type { Alarms, LiveEvents, Logger, Metrics } from "../telemetry/index.ts";
import type { Storage } from "../gateway/types.ts";
import type { ApiApp } from "./apiApp.ts";
import type { HouseEvent } from "./resources/live.ts";

export interface ServerDependencies {
  gateway: Gateway;
  identity: Identity;
  ledger: Ledger;
  engines: EngineRegistry;
  db: Database;
  events: LiveEvents<HouseEvent>;
  metrics: Metrics;
  alarms: Alarms;
  log: Logger;
  /** What the composition knows of the whole; the caller's organisation, project and role are added per request. */
  status: () => Promise<Omit<Status, "organisation" | "project" | "role" | "alarms">>;
  /** Whether /metrics answers without a key: only where the server listens on loopback alone. */
  openMetrics?: boolean;
  /** Absent: the database is elsewhere, and says itself when its disk is full. */
  storage?: Storage | undefined;
  /** Built console; without it /console says how to build it. */
  consoleFolder?: string;
  /** Routes of parts that only some instances have, with whole paths. */
  routes?: ApiApp[];
}
