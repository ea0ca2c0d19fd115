// The pipeline's refusals, each with a sentence for a person and what to do next.
import { LineshaftError } from "../errors/index.ts";
import { formatMoney } from "../ledger/index.ts";
import type { BudgetCut, BudgetLeft, HoldResult } from "../ledger/index.ts";
import type { SchedulerAction } from "../scheduler/index.ts";
import { nearest } from "../errors/index.ts";

export function unknownModel(model: string, known: string[]): LineshaftError {
  const near = nearest(model, known);
  return new LineshaftError({
    code: "model_not_found",
    message: `There is no model ${JSON.stringify(model.slice(0, 100))}.`,
    param: "model",
    hint:
      known.length === 0
        ? "No engine is running yet: see lineshaft status."
        : near !== undefined
          ? `Did you mean ${JSON.stringify(near)}? All: ${known.slice(0, 20).join(", ")}.`
          : `There are: ${known.slice(0, 20).join(", ")}.`,
  });
}

/** A value of a request is wrong. `message` names the field and says what is wrong with it. */
export function invalidValue(param: string, message: string): LineshaftError {
  return new LineshaftError({
    code: "invalid_value",
    message,
    param,
    hint: `Correct \`${param}\` and send the call again.`,
  });
}

/** The same, where the message begins with the field. */
export const invalidAt = (path: string, why: string): LineshaftError => invalidValue(path, `${path} ${why}`);

export function modelUnpriced(model: string, cardCurrency?: string, currency?: string): LineshaftError {
  return new LineshaftError({
    code: "model_unpriced",
    message:
      cardCurrency === undefined
        ? `The model ${model} has no price that is valid now, so no budget could hold for it.`
        : `The model ${model} is priced in ${cardCurrency}, the organisation keeps its books in ${currency}.`,
    param: "model",
    hint: `Set one with lineshaft prices set ${model} --price-in N --price-out N; 0 is a price.`,
  });
}

/**
 * A budget refuses. Where it is used up: 429 with OpenAI's `insufficient_quota`, which its clients know; they are told not to try
 * again by themselves (`x-should-retry`), since a budget does not heal within seconds. Where calls under way hold its rest, or other
 * processes that do not answer have it, it heals soon, so the same clients are told to try again.
 */
export function budgetRefusal(
  { refusedBy: budget, heldNano, why }: Extract<HoldResult, { admitted: false }>,
  neededNano: bigint,
): LineshaftError {
  const name = budgetName(budget);
  const money = (nano: bigint) => formatMoney(nano, budget.currency);
  const left = formatMoney(budget.leftNano < 0n ? 0n : budget.leftNano, budget.currency, "down");
  const numbers = `${left} of ${money(budget.limitNano)} left, ${money(neededNano)} needed for the prompt and the first tokens`;
  const again = "Try again in a moment.";
  switch (why) {
    case "held":
      return new LineshaftError({
        code: "budget_held",
        message: `${name} is held by calls under way, and none of them gave money back in time: ${numbers}, ${money(heldNano)} held. ${again}`,
        hint: again,
        retryAfterSeconds: 1,
      });
    case "leased":
      return new LineshaftError({
        code: "budget_leased",
        message: `${name} has its rest leased to other gateway processes, which did not give it back in time: ${numbers}. ${again}`,
        hint: again,
        retryAfterSeconds: 1,
      });
    case "currency":
      return new LineshaftError({
        code: "budget_exceeded",
        message: `${name} is kept in ${budget.currency}, and the model is priced in another currency. Set the budget in the model's currency with lineshaft budgets set.`,
        hint: "Set the budget in the model's currency with lineshaft budgets set.",
      });
    case "spent": {
      const next = "Raise it with lineshaft budgets set, or wait until it begins anew.";
      return new LineshaftError({
        code: "budget_exceeded",
        message: `${name} does not allow this call: ${numbers}. ${next}`,
        hint: next,
      });
    }
  }
}

/**
 * A budget does not pay for one token of an answer that cannot be stopped, at the endpoint that was chosen. `neededNano`: the prompt, the
 * reasoning that the call asks for, and one token. `heldNano`: what the budget has granted for that.
 */
export function budgetEnded(
  budget: BudgetCut,
  { neededNano, heldNano }: { neededNano: bigint; heldNano: bigint },
): LineshaftError {
  const name = budgetName(budget);
  const money = (nano: bigint) => formatMoney(nano, budget.currency);
  const numbers = `the endpoint for this call cannot be stopped, ${money(neededNano)} are needed for the prompt and the shortest answer, and ${money(heldNano)} of ${money(budget.limitNano)} could be held for it`;
  if (budget.why === "held") {
    const again = "Try again in a moment.";
    return new LineshaftError({
      code: "budget_held",
      message: `${name} is held by calls under way, and none of them gave enough back in time: ${numbers}. ${again}`,
      hint: again,
      retryAfterSeconds: 1,
    });
  }
  const next = "Raise it with lineshaft budgets set, or wait until it begins anew.";
  return new LineshaftError({
    code: "budget_exceeded",
    message: `${name} does not allow this call: ${numbers}. ${next}`,
    hint: next,
  });
}

function budgetName({ scope, budget }: BudgetLeft): string {
  const of = scope.kind === "organisation" ? "the organisation" : `${scope.kind} ${scope.id}`;
  return `The budget of ${of} (${budget})`;
}

/** A read waits for the record of a call that is not in the database yet. */
export function notYetPosted(cause: unknown): LineshaftError {
  return new LineshaftError({
    code: "not_yet_posted",
    message: "The record that this read waits for is not in the database yet. Try again in a moment.",
    hint: "Try again in a moment.",
    retryAfterSeconds: 1,
    cause,
  });
}

/** The scheduler's refusal: it names the reason, and the time after which the call may be taken. */
export function notPlaced({
  code,
  message,
  retryAfterMs,
}: Extract<SchedulerAction, { type: "refuse" }>): LineshaftError {
  if (code === "too_long")
    return new LineshaftError({
      code: "context_length_exceeded",
      message,
      hint: "Shorten the prompt, or serve the model with more KV memory.",
    });
  const retryAfterSeconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  const again = `about ${retryAfterSeconds} s`;
  if (code === "no_endpoint")
    return new LineshaftError({
      code: "no_endpoint",
      message,
      retryAfterSeconds,
      hint: `See lineshaft status; try again in ${again}.`,
    });
  return new LineshaftError({
    code: code === "deadline" ? "deadline_unreachable" : "queue_full",
    message,
    retryAfterSeconds,
    hint:
      code === "deadline"
        ? `Allow more time, or try again in ${again}.`
        : `Try again in ${again}, or add a replica: lineshaft deployments scale.`,
  });
}

/** The engine had sent no token of the call by its deadline, and was stopped. An engine may refuse with the same code, so it is a class. */
export class DeadlinePassed extends LineshaftError {
  constructor(engine: string, deadlineMs: number, expectedFirstTokenMs: number) {
    const retryAfterSeconds = Math.max(1, Math.ceil(expectedFirstTokenMs / 1000));
    super({
      code: "deadline_unreachable",
      message: `${engine} had sent no token ${deadlineMs} ms after the call came, which is its deadline, and was stopped.`,
      retryAfterSeconds,
      hint: `Allow more time, or try again in about ${retryAfterSeconds} s.`,
    });
  }
}

/** The client has closed its connection, so this is only the code of the call's record. */
export function clientGone(): LineshaftError {
  return new LineshaftError({ code: "client_gone", message: "The client closed the connection." });
}

/** Another attempt of the call has answered first, so this is only the code of an attempt's record. */
export function answeredElsewhere(): LineshaftError {
  return new LineshaftError({ code: "answered_elsewhere", message: "Another endpoint has answered the call first." });
}

/** The key was revoked while something that it had begun was under way. */
export function keyRevoked(): LineshaftError {
  return new LineshaftError({
    code: "key_revoked",
    message: "The key was revoked while this was under way.",
    hint: "Use another key: an owner makes one with lineshaft keys create.",
  });
}

export function shuttingDown(): LineshaftError {
  return new LineshaftError({
    code: "shutting_down",
    message: "Lineshaft is stopping and has not served this request to its end. Send it again in a few seconds.",
    hint: "Send it again in a few seconds.",
    retryAfterSeconds: 2,
  });
}

/**
 * Why a call's signal was aborted, as the error that its client and its record get. What aborts a signal says so by its reason:
 * an error with a status (the server stops, a key was revoked), or an error with a code alone (a run was stopped). An abort without
 * such a reason means that the client has gone.
 */
export function whyAborted({ reason }: AbortSignal): LineshaftError {
  if (reason instanceof LineshaftError && reason.isPublic) return reason;
  if (!(reason instanceof Error) || !("code" in reason) || typeof reason.code !== "string") return clientGone();
  return new LineshaftError({ status: 499, code: reason.code, message: reason.message, cause: reason });
}

export function invalidJson(): LineshaftError {
  return new LineshaftError({
    code: "invalid_json",
    message: "The body is not JSON.",
    hint: "Send a JSON object with content-type application/json.",
  });
}

export function bodyTooLarge(mostBytes: number): LineshaftError {
  return new LineshaftError({
    code: "body_too_large",
    message: `The body is larger than ${mostBytes} bytes.`,
    hint: "Send less at once.",
  });
}

export function bodyEncoded(encoding: string): LineshaftError {
  return new LineshaftError({
    code: "body_encoded",
    message: `The body's content-encoding is ${encoding.slice(0, 40)}, which is not read.`,
    hint: "Send it as gzip, deflate, br or zstd, or uncompressed and without content-encoding.",
    headers: { "accept-encoding": "gzip, deflate, br, zstd" },
  });
}

/** What is wrong with the key of a request. */
const keyFaults = {
  none: "No key was given.",
  "no bearer": "The authorization header does not begin with `Bearer `, so it names no key.",
  unknown: "The key is not known, or was revoked.",
};

/** 401, by what is wrong with the key. */
export function unauthenticated(fault: keyof typeof keyFaults): LineshaftError {
  return new LineshaftError({
    code: "invalid_api_key",
    message: keyFaults[fault],
    hint: "Send `authorization: Bearer KEY`; the first key is in LINESHAFT_HOME/credentials.",
  });
}

/** No call is worth so much: its price or its size is wrong, and its hold would fill every budget. */
export function callTooDear(heldNano: bigint, mostNano: bigint, currency: string): LineshaftError {
  return new LineshaftError({
    code: "call_too_dear",
    message: `This call could cost ${formatMoney(heldNano, currency)}, and a call may cost ${formatMoney(mostNano, currency)} at most. Ask for fewer \`max_tokens\` or answers; if these are as meant, the model's price is not: lineshaft engines list.`,
  });
}
