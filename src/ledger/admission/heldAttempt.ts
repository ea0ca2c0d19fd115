// An attempt that holds money, as the admission knows it while it is under way: what its hold covers in tokens, and what waits for more.
import type { ShareName } from "../book/types.ts";
import { spoolRoom } from "../limits.ts";
import { encodeExtend } from "../posting/encode.ts";
import { worstCase } from "../pricing.ts";
import type { BudgetCut, Extended, HoldRequest } from "../types.ts";
import type { AttemptRoom } from "./room.ts";

/** A caller that waits for its extension. */
interface WaitingExtension {
  outputTokens: number;
  resolve(extended: Extended): void;
  reject(error: unknown): void;
}

export class UnderWay {
  request: HoldRequest;
  readonly scopes: readonly string[];
  heldNano: bigint;
  shares: readonly ShareName[];
  /** The moment that it counts at, by the database's clock: in the periods of its shares. */
  countedAtMs: number;
  /** Output tokens that the hold covers. */
  coveredTokens: number;
  seenTokens = 0;
  cutBy: BudgetCut | undefined;
  /** In the spool, for its records. */
  readonly room: AttemptRoom;
  extensions: WaitingExtension[] = [];

  constructor(
    request: HoldRequest,
    scopes: readonly string[],
    held: { amountNano: bigint; shares: readonly ShareName[]; countedAtMs: number; room: AttemptRoom },
  ) {
    this.request = request;
    this.scopes = scopes;
    this.heldNano = held.amountNano;
    this.shares = held.shares;
    this.countedAtMs = held.countedAtMs;
    this.room = held.room;
    this.coveredTokens = coveredBy(request, held.amountNano);
  }

  /** More is held. The callers that wait for it are answered once this is recorded. */
  extended(addedNano: bigint): void {
    this.heldNano += addedNano;
    this.coveredTokens = coveredBy(this.request, this.heldNano);
  }

  /**
   * Its prompt has fewer tokens than were held: it covers as much output as before for less money, and where a whole limit was lowered as
   * much of that limit as the same money covers. Answers what is free then; undefined where nothing changes. Throws `storage_full`, and
   * then nothing changes.
   */
  recount(promptTokens: number): bigint | undefined {
    const { heldNano } = this;
    const request = { ...this.request, promptTokens };
    const coveredTokens = request.whole ? coveredBy(request, heldNano) : this.coveredTokens;
    const amountNano = priceUpTo(request, coveredTokens);
    if (amountNano >= heldNano && coveredTokens <= this.coveredTokens) return undefined;
    this.makeRoom();
    this.#append({ amountNano, coveredTokens, promptTokens });
    this.request = request;
    this.heldNano = amountNano;
    this.coveredTokens = coveredTokens;
    return heldNano - amountNano;
  }

  /** Writes what a crash must know of a hold that has changed. Throws where the record has no room. */
  recordProgress(): void {
    this.#append({ amountNano: this.heldNano, coveredTokens: this.coveredTokens });
  }

  /** Room for a record of progress beside that of the extension that is waited for. Throws `storage_full`. */
  makeRoom(): void {
    this.room.ensure((this.extensions.length > 0 ? 2 : 1) * spoolRoom.extensionBytes);
  }

  #append(held: { amountNano: bigint; coveredTokens: number; promptTokens?: number }): void {
    const { seenTokens, shares, countedAtMs } = this;
    const { attempt } = this.request;
    this.room.append(encodeExtend({ attempt, ...held, seenTokens, shares, countedAtMs }));
  }

  cut(by: BudgetCut): void {
    this.cutBy = by;
    this.answer();
  }

  /** Answers the callers whose extensions are covered, and those that must ask again for the rest. */
  answer(): void {
    const { extensions, coveredTokens: outputTokens, cutBy } = this;
    this.extensions = [];
    for (const { resolve } of extensions) resolve({ outputTokens, cutBy });
  }

  /** The extension could not be recorded: nothing of it may be used. */
  fail(error: unknown): void {
    const { extensions } = this;
    this.extensions = [];
    for (const { reject } of extensions) reject(error);
  }
}

/** Price of a call's prompt, its units and so many output tokens, whatever of the prompt is cached. */
export const priceUpTo = ({ promptTokens, units, rateCard }: HoldRequest, outputTokens: number): bigint =>
  worstCase({ promptTokens, maxOutputTokens: outputTokens, ...(units && { units }) }, rateCard);

/**
 * The most output tokens that an amount covers; at most the request's limit. Most prices are a line, on which it is found at once; where
 * tiers or rounding bend it, it is searched for around that.
 */
function coveredBy(request: HoldRequest, amountNano: bigint): number {
  const { outputTokens } = request;
  const covers = (tokens: number) => priceUpTo(request, tokens) <= amountNano;
  if (covers(outputTokens)) return outputTokens;
  const noneNano = priceUpTo(request, 0);
  const share = Number(amountNano - noneNano) / Number(priceUpTo(request, outputTokens) - noneNano);
  const near = Math.min(outputTokens - 1, Math.max(0, Math.floor(share * outputTokens)));
  let [covered, beyond] = [0, outputTokens];
  for (const tokens of [near, near + 1, near - 1]) {
    if (tokens <= covered || tokens >= beyond) continue;
    if (covers(tokens)) covered = tokens;
    else beyond = tokens;
  }
  while (beyond - covered > 1) {
    const middle = Math.floor((covered + beyond) / 2);
    if (covers(middle)) covered = middle;
    else beyond = middle;
  }
  return covered;
}
