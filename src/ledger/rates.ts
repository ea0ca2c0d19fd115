// Rate cards: versioned prices of models. A call is settled by the version that its hold was taken at.
import type { Database } from "../store/index.ts";
import { rateCardColumns, rateCardOf, type RateCardRow } from "./ledger.ts";
import type { RateCard } from "./types.ts";

export interface NewRateCard {
  organisation: string;
  model: string;
  currency: string;
  inputNanoPerMillion: bigint;
  cachedNanoPerMillion: bigint;
  outputNanoPerMillion: bigint;
}

/** A card is read again after this time, so a price that another gateway set is used here at most this much later. */
const believedMs = 5_000;

export class Rates {
  readonly #db: Database;
  readonly #now: () => Date;
  /** Newest card per organisation and model, as read at `atMs`. */
  readonly #read = new Map<string, { card: RateCard; atMs: number }>();

  constructor(db: Database, now: () => Date) {
    this.#db = db;
    this.#now = now;
  }

  /** The card that new calls are priced by. Undefined when the model has none: such a model cannot be called, while a price of 0 is free. */
  async current(organisation: string, model: string): Promise<RateCard | undefined> {
    const read = this.#read.get(JSON.stringify([organisation, model]));
    if (read && this.#now().getTime() - read.atMs < believedMs) return read.card;
    return this.#newest(organisation, model);
  }

  /** Adds a version, or answers the newest one when its prices are the same. Two writers at once each add a version. */
  async set(card: NewRateCard): Promise<RateCard> {
    for (;;) {
      const newest = await this.#newest(card.organisation, card.model);
      if (newest && samePrices(newest, card)) return newest;
      const added = await this.#add(card, (newest?.version ?? 0) + 1);
      if (added) return added;
    }
  }

  async #newest(organisation: string, model: string): Promise<RateCard | undefined> {
    const { rows } = await this.#db.query<RateCardRow>(
      `select ${rateCardColumns} from rate_cards c where organisation = $1 and model = $2 order by version desc limit 1`,
      [organisation, model],
    );
    return rows[0] && this.#remember(organisation, rateCardOf(rows[0]));
  }

  /** Undefined when another writer was first with this version. */
  async #add(card: NewRateCard, version: number): Promise<RateCard | undefined> {
    const { organisation, model, currency } = card;
    const { rows } = await this.#db.query<RateCardRow>(
      `insert into rate_cards as c (id, organisation, model, version, currency, input_nano_per_million, cached_nano_per_million, output_nano_per_million)
       values ($1, $2, $3, $4, $5, $6, $7, $8)
       on conflict do nothing returning ${rateCardColumns}`,
      [
        `${organisation}/${model}/${version}`,
        organisation,
        model,
        version,
        currency,
        card.inputNanoPerMillion,
        card.cachedNanoPerMillion,
        card.outputNanoPerMillion,
      ],
    );
    return rows[0] && this.#remember(organisation, rateCardOf(rows[0]));
  }

  #remember(organisation: string, card: RateCard): RateCard {
    this.#read.set(JSON.stringify([organisation, card.model]), { card, atMs: this.#now().getTime() });
    return card;
  }
}

function samePrices(a: RateCard, b: NewRateCard): boolean {
  return (
    a.currency === b.currency &&
    a.inputNanoPerMillion === b.inputNanoPerMillion &&
    a.cachedNanoPerMillion === b.cachedNanoPerMillion &&
    a.outputNanoPerMillion === b.outputNanoPerMillion
  );
}
