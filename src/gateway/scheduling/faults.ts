// Which failures of a call count against the endpoint that it was sent to, and so keep further calls away from it
// (scheduler/health/outliers.ts). A refusal for the request's own sake does not count.
import { EngineError } from "../../engines/index.ts";
import type { RegisteredEndpoint } from "../../engines/index.ts";
import type { EndpointFault } from "../../scheduler/index.ts";

const faults: Readonly<Record<string, EndpointFault | undefined>> = {
  engine_unreachable: "connect",
  engine_timeout: "timeout",
  engine_invalid_answer: "garbage",
  engine_redirected: "garbage",
  engine_auth_failed: "refused",
  engine_model_missing: "refused",
  engine_quota: "refused",
};

/** The fault of the endpoint; undefined where the failure does not count against it. `error` may wrap the engine's own error. */
export function faultOf(error: unknown): EndpointFault | undefined {
  const engine = error instanceof EngineError ? error : error instanceof Error ? error.cause : undefined;
  // KV that was lost between two endpoints counts against neither of them.
  if (!(engine instanceof EngineError) || engine.code === "kv_lost") return undefined;
  return faults[engine.code] ?? (engine.status >= 500 ? "failure" : undefined);
}

/** Whether an engine has refused the request for the request's own sake: too long, or a field that it does not take. */
export function refusesRequest(error: unknown): boolean {
  const engine = error instanceof EngineError ? error : error instanceof Error ? error.cause : undefined;
  return engine instanceof EngineError && !engine.retryable && engine.status >= 400 && engine.status < 499;
}

/**
 * The same error with the endpoint's name in this installation in its message. An address inside the installation is of no use to
 * callers and must not be shown to them. What an engine says of the request itself stays as it is.
 */
export function ofEndpoint(error: unknown, { kind, name, endpoint }: RegisteredEndpoint): unknown {
  if (!(error instanceof EngineError) || faultOf(error) === undefined) return error;
  const where =
    kind === "embedded"
      ? `Worker ${endpoint} of the deployment ${name}`
      : endpoint === name
        ? `The engine ${name}`
        : `The endpoint ${endpoint} of the engine ${name}`;
  const { message, status, code, hint, param, retryable, retryAfterSeconds } = error;
  return new EngineError({
    message: message.startsWith("The engine ") ? where + message.slice("The engine".length) : `${where}: ${message}`,
    status,
    code,
    retryable,
    cause: error.cause ?? error,
    ...(hint !== undefined && { hint }),
    ...(param !== undefined && { param }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}
