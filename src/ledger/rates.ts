// Rate cards: what a model costs, versioned. A call keeps the version that its hold was taken at.
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

export class Rates {
  readonly #db: Database;
  /** Newest card per organisation and model. Other processes' changes arrive by `refresh`. */
  readonly #current = new Map<string, RateCard | undefined>();

  constructor(db: Database) {
    this.#db = db;
  }

  /** The card that new calls are priced by; undefined when the model has none, which is not the same as free. */
  async current(organisation: string, model: string): Promise<RateCard | undefined> {
    const key = JSON.stringify([organisation, model]);
    if (this.#current.has(key)) return this.#current.get(key);
    const { rows } = await this.#db.query<RateCardRow>(
      `select ${rateCardColumns} from rate_cards c where organisation = $1 and model = $2 order by version desc limit 1`,
      [organisation, model],
    );
    const card = rows[0] && rateCardOf(rows[0]);
    if (card) this.#current.set(key, card);
    return card;
  }

  /** Adds a version, or answers the newest when it has these very prices. */
  async set(card: NewRateCard): Promise<RateCard> {
    const newest = await this.current(card.organisation, card.model);
    if (newest && samePrices(newest, card)) return newest;
    const { rows } = await this.#db.query<RateCardRow>(
      `insert into rate_cards as c (id, organisation, model, version, currency, input_nano_per_million, cached_nano_per_million, output_nano_per_million)
       select $1::text || '/' || $2::text || '/' || next, $1, $2, next, $3, $4, $5, $6
       from (select coalesce(max(version), 0) + 1 as next from rate_cards where organisation = $1 and model = $2) newest
       returning ${rateCardColumns}`,
      [
        card.organisation,
        card.model,
        card.currency,
        card.inputNanoPerMillion,
        card.cachedNanoPerMillion,
        card.outputNanoPerMillion,
      ],
    );
    const set = rateCardOf(rows[0]!);
    this.#current.set(JSON.stringify([card.organisation, card.model]), set);
    return set;
  }

  /** Forgets what is remembered; the next look reads the database. */
  refresh(): void {
    this.#current.clear();
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
