// The rooms of the house (docs/architecture.md): what each one is, and which rooms it may import. This table is the only place where
// that stands. test/rooms.test.ts checks every import against it, and scripts/drawHouse.ts draws the picture in the docs from it.
//
// Rooms are listed from the top of the house to its ground, and a room imports rooms below it only.

export interface Room {
  /** What it is, in a few words. */
  what: string;
  /** Rooms that it may import. */
  imports: readonly string[];
}

export const rooms: Record<string, Room> = {
  cli: {
    what: "the command line",
    imports: ["instance", "agents", "ledger", "models", "engines", "fleet", "simulator", "store", "contract", "errors"],
  },
  console: { what: "the web console", imports: ["contract"] },
  instance: {
    what: "how one process is put together, started, healed and stopped",
    imports: [
      ...["api", "agents", "gateway", "governance", "ledger", "models", "engines", "egress", "fleet", "telemetry"],
      ...["store", "errors"],
    ],
  },
  api: {
    what: "the HTTP surface of every resource",
    imports: [
      ...["agents", "gateway", "governance", "ledger", "engines", "fleet", "telemetry", "store", "bounded"],
      ...["contract", "errors"],
    ],
  },
  agents: {
    what: "agents, their durable runs, tools and effects",
    imports: [
      ...["gateway", "governance", "ledger", "engines", "egress", "fleet", "telemetry", "store", "bounded"],
      ...["contract", "errors"],
    ],
  },
  gateway: {
    what: "the life of a call, and the protocols that clients speak",
    imports: [...["governance", "ledger", "engines", "egress", "scheduler", "telemetry", "store", "bounded", "errors"]],
  },
  governance: {
    what: "who acts, and what they may do",
    imports: ["egress", "store", "contract", "errors"],
  },
  ledger: { what: "accounts, holds, settlements, rates and bills", imports: ["store", "errors"] },
  models: { what: "weights, their sources and shapes", imports: ["engines", "egress", "fleet", "store", "errors"] },
  engines: {
    what: "the software that serves tokens, behind one seam",
    imports: ["egress", "fleet", "bounded", "errors"],
  },
  egress: { what: "the only door to the network", imports: ["bounded", "errors"] },
  fleet: {
    what: "processes, the home, deployments and their reconciler",
    imports: ["scheduler", "telemetry", "store", "bounded", "errors"],
  },
  simulator: { what: "a virtual clock and model engines under the real scheduler", imports: ["scheduler", "errors"] },
  scheduler: { what: "which endpoint serves a call, and when: a pure state machine", imports: [] },
  telemetry: { what: "metrics, logs, alarms and live events", imports: ["store"] },
  store: { what: "Postgres: pool, session, migrations and blobs", imports: ["errors"] },
  bounded: { what: "work on untrusted input within bounds of CPU and memory", imports: ["errors"] },
  contract: { what: "the schemas of everything that crosses the wire", imports: ["errors"] },
  errors: { what: "how a failure is said", imports: [] },
};
