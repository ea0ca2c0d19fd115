// The limits themselves: set, listed and removed in the database, and all of them in the memory of every process, so that a call finds
// its own without a statement. A change is told to every process by a notification. All limits are read again after a lost session and
// every 30 seconds, because a notification may be missed, and a limit whose reading failed is read again (reading.ts).
import { newId, type Database } from "../../store/index.ts";
import { limits } from "../limits.ts";
import { LineshaftError } from "../../errors/index.ts";
import type { Dimension, LimitScope, LimitScopeKind, UsageLimit } from "./types.ts";

interface LimitRow {
  [column: string]: unknown;
  id: string;
  number: number;
  organisation: string;
  scope_kind: LimitScopeKind;
  scope_id: string;
  model: string | null;
  dimension: Dimension;
  amount: bigint;
}

const columns = "id, number, organisation, scope_kind, scope_id, model, dimension, amount";

/** Sets the one limit of a scope and dimension, or changes its amount. Throws LineshaftError `too_many_limits`. */
export async function setLimit(
  db: Database,
  { organisation, scope, dimension, amount }: Omit<UsageLimit, "id" | "number">,
): Promise<UsageLimit> {
  const { rows } = await db.query<LimitRow>(
    `insert into usage_limits (id, organisation, scope_kind, scope_id, model, dimension, amount)
     select $1, $2, $3, $4, $5, $6, $7
     where (select count(*) from usage_limits where organisation = $2) < $8
        or exists (select from usage_limits where organisation = $2 and scope_kind = $3 and scope_id = $4
                   and coalesce(model, '') = coalesce($5, '') and dimension = $6)
     on conflict (organisation, scope_kind, scope_id, model, dimension) do update set amount = excluded.amount
     returning ${columns}`,
    [
      newId("lim"),
      organisation,
      scope.kind,
      scope.id,
      scope.model ?? null,
      dimension,
      amount,
      limits.usageLimitsPerOrganisation,
    ],
  );
  if (!rows[0])
    throw new LineshaftError({
      code: "too_many_limits",
      message: `An organisation may have ${limits.usageLimitsPerOrganisation} limits.`,
      hint: "Remove some: lineshaft limits list shows them.",
    });
  await tell(db, rows[0].number);
  return limitOf(rows[0]);
}

/** A page of an organisation's limits in the order of their ids, from after `cursor` on; `among`: only those of these scopes. */
export async function listLimits(
  db: Database,
  organisation: string,
  { limit, cursor, among }: { limit: number; cursor?: string | undefined; among?: string[] | undefined },
): Promise<UsageLimit[]> {
  const { rows } = await db.query<LimitRow>(
    `select ${columns} from usage_limits where organisation = $1 and ($2::text is null or id > $2)
       and ($4::text[] is null or scope_id = any($4)) order by id limit $3`,
    [organisation, cursor ?? null, limit, among ?? null],
  );
  return rows.map(limitOf);
}

/** Resolves with the number of the limit that was removed; undefined where there was none. Calls under way are counted no longer. */
export async function removeLimit(db: Database, organisation: string, id: string): Promise<number | undefined> {
  const { rows } = await db.query<{ number: number }>(
    "delete from usage_limits where organisation = $1 and id = $2 returning number",
    [organisation, id],
  );
  if (!rows[0]) return undefined;
  await tell(db, rows[0].number);
  return rows[0].number;
}

async function tell(db: Database, number: number): Promise<void> {
  await db.query("select pg_notify('lineshaft_usage', $1)", [`limit ${number}`]);
}

/** All limits, as calls look them up. */
export class LimitTable {
  readonly #db: Database;
  readonly #byNumber = new Map<number, UsageLimit>();
  /** By organisation, then by scope. */
  readonly #byScope = new Map<string, Map<string, UsageLimit[]>>();

  constructor(db: Database) {
    this.#db = db;
  }

  has(number: number): boolean {
    return this.#byNumber.has(number);
  }

  /** The limits that a call counts against. Most organisations have none, and then nothing is put together. */
  of(call: { organisation: string; project: string; key: string; model: string }): UsageLimit[] {
    const scopes = this.#byScope.get(call.organisation);
    if (!scopes) return none;
    const found: UsageLimit[] = [];
    for (const id of [call.organisation, call.project, call.key]) {
      const all = scopes.get(id);
      if (all) found.push(...all);
      const ofModel = scopes.get(`${id}/${call.model}`);
      if (ofModel) found.push(...ofModel);
    }
    return found;
  }

  /** Reads all limits anew, in pages. Resolves with the numbers of those that are new, changed or gone. */
  async readAll(): Promise<number[]> {
    const changed: number[] = [];
    const seen = new Set<number>();
    for (let after = 0; ;) {
      const { rows } = await this.#db.query<LimitRow>(
        `select ${columns} from usage_limits where number > $1 order by number limit $2`,
        [after, limits.usageLimitsPerRead],
      );
      for (const row of rows) {
        seen.add(row.number);
        if (this.#put(limitOf(row))) changed.push(row.number);
      }
      if (rows.length < limits.usageLimitsPerRead) break;
      after = rows.at(-1)!.number;
    }
    for (const number of this.#byNumber.keys()) {
      if (seen.has(number)) continue;
      this.drop(number);
      changed.push(number);
    }
    return changed;
  }

  /** Reads one limit anew. */
  async read(number: number): Promise<void> {
    const { rows } = await this.#db.query<LimitRow>(`select ${columns} from usage_limits where number = $1`, [number]);
    if (rows[0]) this.#put(limitOf(rows[0]));
    else this.drop(number);
  }

  /** False where the limit is known as it is: of a limit that exists only the amount can change. */
  #put(limit: UsageLimit): boolean {
    if (this.#byNumber.get(limit.number)?.amount === limit.amount) return false;
    this.drop(limit.number);
    this.#byNumber.set(limit.number, limit);
    let scopes = this.#byScope.get(limit.organisation);
    if (!scopes) this.#byScope.set(limit.organisation, (scopes = new Map()));
    const key = keyOf(limit.scope);
    scopes.set(key, [...(scopes.get(key) ?? []), limit]);
    return true;
  }

  /** The limit is no more. */
  drop(number: number): void {
    const limit = this.#byNumber.get(number);
    if (!limit) return;
    this.#byNumber.delete(number);
    const scopes = this.#byScope.get(limit.organisation)!;
    const key = keyOf(limit.scope);
    const rest = scopes.get(key)!.filter((one) => one.number !== number);
    if (rest.length > 0) scopes.set(key, rest);
    else scopes.delete(key);
    if (scopes.size === 0) this.#byScope.delete(limit.organisation);
  }
}

const none: UsageLimit[] = [];

const keyOf = ({ id, model }: LimitScope): string => (model === undefined ? id : `${id}/${model}`);

function limitOf(row: LimitRow): UsageLimit {
  return {
    id: row.id,
    number: row.number,
    organisation: row.organisation,
    scope: { kind: row.scope_kind, id: row.scope_id, model: row.model ?? undefined },
    dimension: row.dimension,
    amount: Number(row.amount),
  };
}
