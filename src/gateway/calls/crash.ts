// The rows of attempts that the end of their process cut off. What they need of a call that is under way is noted with each hold, so that
// the next start can write them without the process that knew it.
import type { Shape } from "../../engines/index.ts";
import type { HeldAttempt, Settlement } from "../../ledger/index.ts";
import type { CallState } from "../state.ts";
import type { BilledTokens } from "./record.ts";
import { attemptToRow, callToRow } from "./rows.ts";

/** What is noted with a hold, in the spool and in few bytes. Fields that stand in the hold itself are not repeated. */
interface HoldContext {
  number: number;
  endpoint: Shape;
  stream: boolean;
  /** The model that was to serve the call, and the name that was asked for where that is another; absent in records of older versions. */
  model?: string;
  askedModel?: string;
  /** Milliseconds since 1970. */
  startedAt: number;
  program?: string;
  /** It is a line of a batch: after a crash it is served again. */
  line?: true;
  /** The batch of that line; absent in records of older versions. */
  batch?: string;
  /** The attempt beside which this one is made: it had not ended, so it is not among the earlier ones. */
  beside?: string;
  /** What earlier attempts of the call have used. */
  before?: BilledTokens & { priceNano: string };
}

export function holdContext(
  { request, model, startedAt, attempts }: CallState,
  number: number,
  beside?: string,
): HoldContext {
  const { asked, program, line } = request;
  const sum = (of: keyof BilledTokens) => attempts.reduce((total, attempt) => total + attempt[of], 0);
  return {
    number,
    endpoint: asked.shape,
    stream: asked.stream,
    model,
    ...(asked.model !== model && { askedModel: asked.model }),
    startedAt,
    ...(program !== undefined && { program }),
    ...(line && { line: true, batch: line.batch }),
    ...(beside !== undefined && { beside }),
    ...(attempts.length > 0 && {
      before: {
        promptTokens: sum("promptTokens"),
        cachedTokens: sum("cachedTokens"),
        outputTokens: sum("outputTokens"),
        priceNano: attempts.reduce((total, attempt) => total + attempt.priceNano, 0n).toString(),
      },
    }),
  };
}

/** Whether the work of an attempt is done again after a crash, so that its budget pays for the second time alone. */
export const isRedone = ({ context }: HeldAttempt): boolean => (context as HoldContext).line === true;

const nothingBefore = { promptTokens: 0, cachedTokens: 0, outputTokens: 0, priceNano: "0" };

/** Code of a call whose gateway process ended before the call did. */
const processEnded = "process_ended";

/**
 * The rows of an attempt that a crash ended, and of its call. An attempt that was never sent has no engine, and no row of its own:
 * `attempt` is undefined then. `others`: what the call's other attempts of this process were settled for, by attempt.
 */
export function rowsOfCrash(
  held: HeldAttempt,
  settled: Settlement,
  sentTo: string | undefined,
  others: ReadonlyMap<string, Settlement>,
): { attempt: unknown; call: unknown } {
  const context = held.context as HoldContext;
  const { number, endpoint, model = held.rateCard.model, stream, startedAt, program, before = nothingBefore } = context;
  const attempt = sentTo === undefined ? undefined : attemptOf(held, settled, { number, engine: sentTo, model });
  const own = [settled];
  const beside = context.beside === undefined ? undefined : others.get(context.beside);
  if (beside) own.push(beside);
  const sum = (of: (one: Settlement) => number) => own.reduce((total, one) => total + of(one), 0);
  const call = callToRow({
    id: held.call,
    organisation: held.organisation,
    project: held.project,
    key: held.key,
    agent: held.agent,
    run: held.run,
    program,
    batch: context.batch,
    endpoint,
    model,
    askedModel: context.askedModel,
    stream,
    status: "failed",
    errorCode: processEnded,
    finishReason: undefined,
    cutBy: undefined,
    promptTokens: before.promptTokens + sum(({ tokens }) => tokens.promptTokens),
    cachedTokens: before.cachedTokens + sum(({ tokens }) => tokens.cachedTokens),
    outputTokens: before.outputTokens + sum(({ tokens }) => tokens.outputTokens),
    savedTokens: undefined,
    priceNano: own.reduce((total, { amountNano }) => total + amountNano, BigInt(before.priceNano)),
    currency: settled.currency,
    startedAt: new Date(startedAt),
    firstTokenMs: undefined,
    // Its end was not seen.
    durationMs: 0,
  });
  return { attempt, call };
}

const attemptOf = (
  held: HeldAttempt,
  settled: Settlement,
  { number, engine, model }: { number: number; engine: string; model: string },
) =>
  attemptToRow({
    id: held.attempt,
    call: held.call,
    number,
    engine,
    model,
    rateCard: held.rateCard.id,
    why: undefined,
    status: "failed",
    errorCode: processEnded,
    decision: undefined,
    cachedByTier: undefined,
    phases: [],
    promptTokens: settled.tokens.promptTokens,
    cachedTokens: settled.tokens.cachedTokens,
    outputTokens: settled.tokens.outputTokens,
    priceNano: settled.amountNano,
    claimed: settled.claimed,
    suspenseNano: settled.suspenseNano,
  });
