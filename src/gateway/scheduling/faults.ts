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
};

/** The fault of the endpoint; undefined where the failure does not count against it. `error` may wrap the engine's own error. */
export function faultOf(error: unknown): EndpointFault | undefined {
  const engine = error instanceof EngineError ? error : error instanceof Error ? error.cause : undefined;
  // KV that was lost between two endpoints counts against neither of them. An engine that is busy, or whose account is used up, is
  // kept from calls until it takes them again (busy.ts).
  if (!(engine instanceof EngineError) || engine.code === "kv_lost" || isRate(engine)) return undefined;
  return faults[engine.code] ?? (engine.status >= 500 ? "failure" : undefined);
}

/**
 * What a failed attempt says of what may follow (tries.ts). `rate`: the engine takes no more calls for now. `quota`: the account at the
 * provider is used up. `too_long`: the prompt is, for this endpoint. `filtered`: the provider refuses the content. `request`: the request
 * is refused for its own sake, or the failure is none of an engine's.
 */
export type FailureClass = EndpointFault | "rate" | "quota" | "too_long" | "filtered" | "request";

export function classOf(error: unknown): FailureClass {
  if (!(error instanceof EngineError)) return "request";
  const { code, status, retryable } = error;
  if (code === "engine_quota") return "quota";
  if (code === "context_length_exceeded") return "too_long";
  if (filters.has(code)) return "filtered";
  if (!retryable) return "request";
  if (isRate(error)) return "rate";
  // KV that was lost between two endpoints is of neither, and the call goes to others.
  return faults[code] ?? (status >= 500 ? "failure" : "rate");
}

/** Codes by which providers refuse a prompt's content. */
const filters = new Set(["content_filter", "content_policy_violation", "responsible_ai_policy_violation"]);

/** Whether the engine is there and takes no more calls for now: a 429, or a server error with the time after which it does. */
const isRate = ({ code, status, retryAfterSeconds }: EngineError): boolean =>
  code === "engine_busy" || status === 429 || (status >= 500 && retryAfterSeconds !== undefined);

/** Whether an engine has refused the request for the request's own sake: too long, or a field that it does not take. */
export function refusesRequest(error: unknown): boolean {
  const engine = error instanceof EngineError ? error : error instanceof Error ? error.cause : undefined;
  return engine instanceof EngineError && !engine.retryable && engine.status >= 400 && engine.status < 499;
}

/**
 * The same error with the endpoint's name in this installation in its message. An address inside the installation is of no use to
 * callers and must not be shown to them. What an engine says of the request itself stays as it is, and so do the words of a provider (`said`).
 */
export function ofEndpoint(error: unknown, { kind, name, endpoint }: RegisteredEndpoint): unknown {
  if (!(error instanceof EngineError) || faultOf(error) === undefined) return error;
  const where =
    kind === "embedded"
      ? `Worker ${endpoint} of the deployment ${name}`
      : endpoint === name
        ? `The engine ${name}`
        : `The endpoint ${endpoint} of the engine ${name}`;
  const { message, status, code, hint, param, retryable, retryAfterSeconds, said } = error;
  return new EngineError({
    message: message.startsWith("The engine ") ? where + message.slice("The engine".length) : `${where}: ${message}`,
    status,
    code,
    retryable,
    cause: error.cause ?? error,
    said,
    ...(hint !== undefined && { hint }),
    ...(param !== undefined && { param }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}
