// Accounts at providers that are used up: an alarm says which endpoint has none of its quota left, because no call is served there until a
// person has paid. It goes when the endpoint answers again.
import type { EngineError, RegisteredEndpoint } from "../../engines/index.ts";
import type { Alarms } from "../../telemetry/index.ts";
import { classOf } from "./faults.ts";

const alarmOf = ({ endpoint, organisation }: RegisteredEndpoint) => ({
  code: "engine_account_used_up",
  subject: endpoint,
  organisation,
});

export class UsedUpAccounts {
  readonly #alarms: Pick<Alarms, "raise" | "clear">;
  readonly #known = new WeakSet<RegisteredEndpoint>();

  constructor(alarms: Pick<Alarms, "raise" | "clear">) {
    this.#alarms = alarms;
  }

  /** An attempt at the endpoint has failed. */
  failed(endpoint: RegisteredEndpoint, error: EngineError): void {
    if (classOf(error) !== "quota") return;
    this.#known.add(endpoint);
    this.#alarms.raise({
      ...alarmOf(endpoint),
      message: `The account of ${endpoint.endpoint} at its provider is used up, so the provider refuses its calls. Add credit there; until then calls go to other endpoints and fallbacks, or fail with engine_quota.`,
      clears: true,
    });
  }

  /** The endpoint has answered. */
  answered(endpoint: RegisteredEndpoint): void {
    if (this.#known.delete(endpoint)) this.#alarms.clear(alarmOf(endpoint));
  }
}
