// Rate cards: versioned prices of models, each valid from one moment on. An attempt is priced by the card that is valid when it asks for
// its hold, and settled by the same card, whatever is set in between. A model without a valid card has an unknown price: its calls are
// refused, or held by the card that the organisation has named for such models, never priced at zero.
import { LineshaftError } from "../errors/index.ts";
import { StoreUnavailableError, type Database } from "../store/index.ts";
import { moreRecord, rateCardColumns, rateCardOf, samePrices, type RateCardRow } from "./cards.ts";
import { cardsListedMost, offlineMs } from "./limits.ts";
import type { RateCard } from "./types.ts";

/** A version of a model's prices. It is valid from the moment when it is set where `validFrom` is absent. */
export type NewRateCard = Omit<RateCard, "id" | "version" | "estimate"> & { organisation: string };

/** What an organisation does where a model has no valid price: refuse its calls, or hold them by another model's card. */
export type UnknownPrice = { rule: "refuse" } | { rule: "hold_at"; fallback: string };

/** Where a card stands in time. `replaced`: a card that began later, or a newer version, prices its calls. */
export type CardState = "valid" | "planned" | "replaced" | "ended";

/** A card is read again after this time, so a price whose change was not heard (`changed`) is used here at most this much later. */
const believedMs = 5_000;

/** A row of the statement that finds the valid card. */
interface ValidRow extends RateCardRow {
  /** Milliseconds until another card may be the valid one; null where none is set to begin or end. */
  changes_in_ms: number | null;
}

/** A card as it was read. */
interface Read {
  card: RateCard;
  atMs: number;
  /** The next moment at which another card may be the valid one. */
  changesAtMs: number;
}

const isValid = "c.valid_from <= now() and (c.valid_until is null or c.valid_until > now())";
/** The order in which valid cards are preferred. */
const newestFirst = "c.valid_from desc, c.version desc";
const changesInMs = `(select extract(epoch from min(at) - now()) * 1000
   from rate_cards o, unnest(array[o.valid_from, o.valid_until]) at
   where o.organisation = c.organisation and o.model = c.model and at > now())::float8 as changes_in_ms`;

export class Rates {
  readonly #db: Database;
  readonly #now: () => Date;
  /** The card that prices an organisation's calls of a model, and until when that is believed. */
  readonly #read = new Map<string, Read>();

  constructor(db: Database, now: () => Date) {
    this.#db = db;
    this.#now = now;
  }

  /**
   * The card that new calls are priced by: the model's own that is valid now, else the organisation's fallback, marked as an estimate. It
   * is answered at once where it was read within the last seconds, and by a promise where it must be read. Undefined where there is
   * neither: such a model cannot be called, while a price of 0 is free. While the database is away a card that was read before goes on
   * being answered until its offline term or its validity is over; then throws StoreUnavailableError.
   */
  current(organisation: string, model: string): RateCard | undefined | Promise<RateCard | undefined> {
    const read = this.#read.get(keyOf(organisation, model));
    if (read && this.#isBelieved(read, believedMs)) return read.card;
    return this.#readAgain(organisation, model, read);
  }

  async #readAgain(organisation: string, model: string, read: Read | undefined): Promise<RateCard | undefined> {
    try {
      return (await this.#valid(organisation, model)) ?? (await this.#fallback(organisation, model));
    } catch (error) {
      if (error instanceof StoreUnavailableError && read && this.#isBelieved(read, offlineMs)) return read.card;
      throw error;
    }
  }

  /**
   * Adds a version, or answers the valid one when it has the same prices and no validity was asked for. Two writers at once each add a
   * version.
   */
  async set(card: NewRateCard): Promise<RateCard> {
    for (;;) {
      const valid = await this.#valid(card.organisation, card.model);
      if (valid && !card.validFrom && !card.validUntil && !valid.validUntil && samePrices(valid, card)) return valid;
      const added = await this.#add(card);
      if (!added) continue;
      // What is valid now may be another card than the one that was added.
      this.#read.delete(keyOf(card.organisation, card.model));
      return added;
    }
  }

  /** Another process has set a price or a fallback: every card is read again before it prices a call. */
  changed(): void {
    const olderMs = this.#now().getTime() - believedMs;
    for (const read of this.#read.values()) read.atMs = Math.min(read.atMs, olderMs);
  }

  /** Sets the price of a model that has none that is valid. */
  async ensure(card: NewRateCard): Promise<void> {
    if (!(await this.#valid(card.organisation, card.model))) await this.set(card);
  }

  /** Valid and planned cards of an organisation by model; with a model all its versions, newest first, the newest of them only. */
  async list(organisation: string, model?: string): Promise<{ card: RateCard; state: CardState }[]> {
    const { rows } = await this.#db.query<RateCardRow & { state: CardState }>(
      `select * from (
         select ${rateCardColumns},
           case when c.valid_from > now() then 'planned'
             when c.valid_until <= now() then 'ended'
             when row_number() over (partition by c.model, ${isValid} order by ${newestFirst}) = 1 then 'valid'
             else 'replaced' end as state
         from rate_cards c where c.organisation = $1 and ($2::text is null or c.model = $2)) c
       where $2::text is not null or c.state in ('valid', 'planned')
       order by c.model, c.version desc limit $3`,
      [organisation, model ?? null, cardsListedMost],
    );
    return rows.map((row) => ({ card: rateCardOf(row), state: row.state }));
  }

  /** What the organisation does where a model has no price. */
  async unknownPrice(organisation: string): Promise<UnknownPrice> {
    const { rows } = await this.#db.query<{ fallback: string }>(
      "select fallback from price_policies where organisation = $1",
      [organisation],
    );
    return rows[0] ? { rule: "hold_at", fallback: rows[0].fallback } : { rule: "refuse" };
  }

  /** Sets it. Throws LineshaftError `fallback_unpriced` where the fallback has no valid card itself. */
  async setUnknownPrice(organisation: string, policy: UnknownPrice): Promise<void> {
    if (policy.rule === "refuse") {
      await this.#db.query("delete from price_policies where organisation = $1", [organisation]);
    } else {
      if (!(await this.#valid(organisation, policy.fallback))) throw fallbackUnpriced(policy.fallback);
      await this.#db.query(
        `insert into price_policies (organisation, fallback) values ($1, $2)
         on conflict (organisation) do update set fallback = excluded.fallback, set_at = now()`,
        [organisation, policy.fallback],
      );
    }
    for (const [key, { card }] of this.#read) if (card.estimate) this.#read.delete(key);
  }

  async #valid(organisation: string, model: string): Promise<RateCard | undefined> {
    const { rows } = await this.#db.query<ValidRow>(
      `select ${rateCardColumns}, ${changesInMs} from rate_cards c
       where c.organisation = $1 and c.model = $2 and ${isValid} order by ${newestFirst} limit 1`,
      [organisation, model],
    );
    return rows[0] && this.#remember(organisation, rateCardOf(rows[0]), rows[0]);
  }

  /** The fallback's card under the name of the model that is called. Its id says which card it is. */
  async #fallback(organisation: string, model: string): Promise<RateCard | undefined> {
    const { rows } = await this.#db.query<ValidRow>(
      `select ${rateCardColumns}, ${changesInMs} from price_policies p
       join rate_cards c on c.organisation = p.organisation and c.model = p.fallback
       where p.organisation = $1 and ${isValid} order by ${newestFirst} limit 1`,
      [organisation],
    );
    return rows[0] && this.#remember(organisation, { ...rateCardOf(rows[0]), model, estimate: true }, rows[0]);
  }

  /** Undefined when another writer was first with this version. */
  async #add(card: NewRateCard): Promise<RateCard | undefined> {
    const { organisation, model, currency } = card;
    const { rows } = await this.#db.query<RateCardRow>(
      `insert into rate_cards as c (id, organisation, model, version, currency, input_nano_per_million, cached_nano_per_million,
         output_nano_per_million, more, valid_from, valid_until)
       select $1::text || '/' || $2::text || '/' || version, $1, $2, version, $3, $4::bigint, $5::bigint, $6::bigint, $7::jsonb,
         coalesce($8::timestamptz, now()), $9::timestamptz
       from (select coalesce(max(version), 0) + 1 as version from rate_cards where organisation = $1 and model = $2) next
       on conflict do nothing returning ${rateCardColumns}`,
      [
        organisation,
        model,
        currency,
        card.inputNanoPerMillion,
        card.cachedNanoPerMillion,
        card.outputNanoPerMillion,
        JSON.stringify(moreRecord(card)),
        card.validFrom ?? null,
        card.validUntil ?? null,
      ],
    );
    return rows[0] && rateCardOf(rows[0]);
  }

  #isBelieved({ atMs, changesAtMs }: Read, forMs: number): boolean {
    const nowMs = this.#now().getTime();
    return nowMs < atMs + forMs && nowMs < changesAtMs;
  }

  #remember(organisation: string, card: RateCard, { changes_in_ms: changes }: ValidRow): RateCard {
    const atMs = this.#now().getTime();
    const changesAtMs = changes === null ? Infinity : atMs + changes;
    this.#read.set(keyOf(organisation, card.model), { card, atMs, changesAtMs });
    return card;
  }
}

/** Ids of organisations hold no space, so that no two pairs have one key. */
const keyOf = (organisation: string, model: string): string => `${organisation} ${model}`;

function fallbackUnpriced(model: string): LineshaftError {
  return new LineshaftError({
    code: "fallback_unpriced",
    message: `The model ${model} has no price that is valid now, so it cannot price others.`,
    param: "fallback",
    hint: `Set one with lineshaft prices set ${model} --price-in N --price-out N; it needs no engine of that name.`,
  });
}
