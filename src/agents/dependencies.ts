// What this room needs from others. instance/ makes these parts and passes them in; the room constructs none of them.
import type { EngineRegistry, RuntimeFact } from "../engines/index.ts";
import type { CallAnswer, CallRequest } from "../gateway/types.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Database } from "../store/index.ts";
import type { Alarms, Logger } from "../telemetry/index.ts";
import type { RunEvent, Viewer } from "./record.ts";

export interface Dependencies {
  db: Database;
  /** The one pipeline to a model; `flushed` resolves when the records of calls that have ended can be read. */
  gateway: {
    call(request: CallRequest): Promise<CallAnswer>;
    tell(fact: RuntimeFact, model: string, organisation: string): void;
    flushed(): Promise<void>;
  };
  ledger: Pick<Ledger, "setBudget" | "recordOutcome">;
  engines: Pick<EngineRegistry, "endpoints" | "list">;
  /** Told of every change of a run. */
  events: { publish(of: Viewer, event: RunEvent): void };
  alarms: Pick<Alarms, "raise" | "clear">;
  log: Logger;
}
