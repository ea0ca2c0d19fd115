// Prices that an owner sets, and the alarm about calls that are priced without one. The ledger has the cards (ledger/rates.ts); here is
// what the rooms above share about them.
import type { AddedKind } from "../engines/index.ts";
import { LineshaftError } from "../errors/index.ts";
import type { Principal } from "../governance/types.ts";
import { formatMoney, type Ledger, type NewRateCard, type RateCard } from "../ledger/index.ts";
import type { Changes } from "../store/index.ts";
import type { Alarms } from "../telemetry/index.ts";
import { limits } from "./limits.ts";

/** Prices of a model, without its name and its owner. */
export type NewPrices = Omit<NewRateCard, "organisation" | "model">;

const code = "price_unknown";
const priceUnknown = (organisation: string, model: string) => ({ code, subject: model, organisation });

/** Throws LineshaftError `currency_mismatch` for prices in another currency than that of the organisation's books. */
export function checkCurrency(principal: Principal, prices: NewPrices, param: string): void {
  if (prices.currency === principal.currency) return;
  throw new LineshaftError({
    code: "currency_mismatch",
    message: `The organisation keeps its books in ${principal.currency}, the price is in ${prices.currency}.`,
    param,
    hint: `Give the price in ${principal.currency}.`,
  });
}

/** Sets the prices of a model, in the organisation's currency, and ends the alarm about calls that were priced without them. */
export async function setPrices(
  { ledger, alarms }: { ledger: Ledger; alarms: Pick<Alarms, "clear"> },
  principal: Principal,
  model: string,
  prices: NewPrices,
): Promise<RateCard> {
  checkCurrency(principal, prices, "currency");
  const card = await ledger.setRateCard({ organisation: principal.organisation, model, ...prices });
  const current = await ledger.currentRateCard(principal.organisation, model);
  if (current && !current.estimate) alarms.clear(priceUnknown(principal.organisation, model));
  return card;
}

/**
 * Prices of an engine of that kind. Anthropic charges 1.25 times a prompt token for one that it keeps for five minutes, and twice as much
 * for one that it keeps for an hour; a card without these prices would bill such tokens too low, so they are filled in.
 */
export function pricesOfKind(kind: AddedKind, prices: NewPrices): NewPrices {
  if (kind !== "anthropic" || prices.cacheWriteNanoPerMillion !== undefined) return prices;
  const input = prices.inputNanoPerMillion;
  return {
    ...prices,
    cacheWriteNanoPerMillion: (input * 5n) / 4n,
    cacheWriteLongNanoPerMillion: prices.cacheWriteLongNanoPerMillion ?? input * 2n,
  };
}

/** A call of a model without a price is priced by the fallback's card: a person must find out what it really costs. */
export function raisePriceUnknown(alarms: Pick<Alarms, "raise">, organisation: string, card: RateCard): void {
  const of = (nano: bigint) => formatMoney(nano, card.currency);
  alarms.raise({
    ...priceUnknown(organisation, card.model),
    message:
      `The model ${card.model} has no price. Its calls are billed by the card ${card.id} (${of(card.inputNanoPerMillion)} in, ` +
      `${of(card.outputNanoPerMillion)} out per million tokens), as estimates. Set its own: lineshaft prices set ${card.model}.`,
  });
}

/**
 * Keeps prices, and this process's alarms about models without one, as any process has set them. Answers the function that stops it. An
 * alarm is judged again after each change, and every minute because a price that was set ahead becomes valid without one.
 */
export function watchPrices(
  rooms: { ledger: Pick<Ledger, "pricesChanged" | "currentRateCard">; alarms: Pick<Alarms, "own" | "clear"> },
  changes: Pick<Changes, "on">,
): () => void {
  const changed = async () => {
    rooms.ledger.pricesChanged();
    await judgePriceAlarms(rooms);
  };
  changes.on("rate_cards", changed);
  changes.on("price_policies", changed);
  // The next look, or the next change, tries again.
  const look = () => void judgePriceAlarms(rooms).catch(() => {});
  look();
  const timer = setInterval(look, limits.priceLookMs).unref();
  return () => clearInterval(timer);
}

/** Clears the alarms of models whose calls are no longer billed by a fallback's card. */
async function judgePriceAlarms({ ledger, alarms }: Parameters<typeof watchPrices>[0]): Promise<void> {
  for (const { subject, organisation, ...alarm } of alarms.own()) {
    if (alarm.code !== code || subject === undefined || organisation === undefined) continue;
    const card = await ledger.currentRateCard(organisation, subject);
    if (!card?.estimate) alarms.clear(priceUnknown(organisation, subject));
  }
}
