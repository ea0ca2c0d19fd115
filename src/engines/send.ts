// Sending to an engine: the egress, whose failures become EngineError here, in the words of engines.
import { send as sendByEgress, type EgressError, type EgressRequest, type EgressResponse } from "../egress/index.ts";
import { EngineError } from "./types.ts";

/** Sends to an engine's address; resolves at the answer's headers. Throws EngineError, and so does the body's iterator. */
export const send = (request: EgressRequest): Promise<EgressResponse> =>
  sendByEgress({ ...request, translate: asEngineError });

/** A failure of the egress as what it means for a call. */
export function asEngineError(error: EgressError): EngineError {
  const { cause } = error;
  switch (error.code) {
    case "aborted":
      return new EngineError({ status: 499, code: "aborted", message: error.message, retryable: false, cause });
    case "endpoint_timeout":
      return new EngineError({
        status: 504,
        code: "engine_timeout",
        message: "The engine was silent for too long.",
        hint: "Look at its log and load; a shorter prompt or a smaller max_tokens may help.",
        cause,
      });
    case "endpoint_unreachable":
      return new EngineError({
        status: 502,
        code: "engine_unreachable",
        message: error.message.replace("The endpoint", "The engine"),
        hint: "Check that it runs and that its address is right: lineshaft status, lineshaft engines list.",
        cause,
      });
    default:
      return new EngineError({
        status: error.status,
        code: error.code,
        message: error.message,
        hint: error.hint,
        param: error.param,
        retryable: false,
        cause,
      });
  }
}
