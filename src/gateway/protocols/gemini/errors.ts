// A failure as Google's clients read it: {error: {code, message, status, details}}. They try again by status and by the delay in the
// details. The reason is Lineshaft's own code and stands in docs/errors.md.
import type { LineshaftError } from "../../../errors/index.ts";
import { spoken } from "../../errors.ts";

/** A spent budget is no matter of waiting, and Google's clients wait at a 429. */
export const geminiStatus = ({ status, code }: LineshaftError): number => (code === "budget_exceeded" ? 403 : status);

const names: Readonly<Record<number, string>> = {
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  409: "ABORTED",
  429: "RESOURCE_EXHAUSTED",
  499: "CANCELLED",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
};

export function geminiErrorBody(error: LineshaftError): { error: Record<string, unknown> } {
  const code = geminiStatus(error);
  const { param, retryAfterSeconds } = error;
  const details: Record<string, unknown>[] = [
    { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: error.code, domain: "lineshaft" },
  ];
  if (param !== undefined)
    details.push({
      "@type": "type.googleapis.com/google.rpc.BadRequest",
      fieldViolations: [{ field: param, description: error.message }],
    });
  if (retryAfterSeconds !== undefined)
    details.push({
      "@type": "type.googleapis.com/google.rpc.RetryInfo",
      retryDelay: `${Math.ceil(retryAfterSeconds)}s`,
    });
  return {
    error: {
      code,
      message: spoken(error),
      status: names[code] ?? (code < 500 ? "INVALID_ARGUMENT" : "INTERNAL"),
      details,
    },
  };
}
