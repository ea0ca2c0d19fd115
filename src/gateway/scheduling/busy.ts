// Endpoints that take no calls for a time that they have named (`Retry-After`), or because their account at the provider is used up. They
// are kept from calls for that time, at most `limits.busyMostMs`. It is no fault of theirs, so they are not ejected for it, and unlike
// ejected endpoints they are not tried when nothing else is left: calls are refused with the time that is left, or go to a fallback.
import { EngineError } from "../../engines/index.ts";
import type { RegisteredEndpoint } from "../../engines/index.ts";
import { limits } from "../limits.ts";
import { classOf } from "./faults.ts";

/** Until when each endpoint takes no calls, on this process's monotonic clock. An endpoint that is replaced begins anew. */
const until = new WeakMap<RegisteredEndpoint, number>();

/** Milliseconds for which the endpoint takes no calls; 0: it takes them. */
export function busyFor(endpoint: RegisteredEndpoint): number {
  const untilMs = until.get(endpoint);
  return untilMs === undefined ? 0 : Math.max(0, untilMs - performance.now());
}

/** Keeps calls from the endpoint for as long as the failed attempt's error says. Workers of this installation are never kept from calls. */
export function setBusy(endpoint: RegisteredEndpoint, error: EngineError): void {
  if (endpoint.kind === "embedded") return;
  const why = classOf(error);
  const { busyMostMs } = limits;
  const askedMs = error.retryAfterSeconds === undefined ? undefined : 1000 * error.retryAfterSeconds;
  const awayMs = why === "quota" ? busyMostMs : why === "rate" ? askedMs : undefined;
  if (awayMs !== undefined) until.set(endpoint, performance.now() + Math.min(awayMs, busyMostMs));
}
