// Looking up organisations, projects and keys, for the rooms above: names, what exists, and what a key may still do.
import type { Queryable } from "../../store/index.ts";

/** The currency of an organisation's ledger, which never changes. */
export async function currencyOf(db: Queryable, organisation: string): Promise<string> {
  const { rows } = await db.query<{ currency: string }>("select currency from organisations where id = $1", [
    organisation,
  ]);
  return rows[0]!.currency;
}

/** True when the organisation has an owner's key in force other than this one. */
export async function hasOtherOwnerKey(db: Queryable, organisation: string, key: string): Promise<boolean> {
  const { rowCount } = await db.query(
    "select from keys where organisation = $1 and role = 'owner' and revoked_at is null and id <> $2 limit 1",
    [organisation, key],
  );
  return rowCount !== 0;
}

/** Name of a key; its id where there is no such key. */
export async function keyName(db: Queryable, key: string): Promise<string> {
  const { rows } = await db.query<{ name: string }>("select name from keys where id = $1", [key]);
  return rows[0]?.name ?? key;
}

const lookups = {
  organisation: "select id from organisations where id = $1 and (id = $2 or name = $2)",
  project: "select id from projects where organisation = $1 and (id = $2 or name = $2) order by id = $2 desc limit 1",
  key: `select id from keys where organisation = $1 and (id = $2 or name = $2)
    order by id = $2 desc, revoked_at nulls first limit 1`,
};

/** Id of an organisation's own thing of a kind by its id or name; of keys with one name, one in force is taken first. */
export async function findIn(
  db: Queryable,
  organisation: string,
  kind: keyof typeof lookups,
  idOrName: string,
): Promise<string | undefined> {
  const { rows } = await db.query<{ id: string }>(lookups[kind], [organisation, idOrName]);
  return rows[0]?.id;
}

/** Names of an organisation and of its projects and keys, by id, for those of the ids given that are one of them. */
export async function namesIn(db: Queryable, organisation: string, ids: string[]): Promise<Map<string, string>> {
  const { rows } = await db.query<{ id: string; name: string }>(
    `select id, name from organisations where id = $1 and id = any($2) union all
     select id, name from projects where organisation = $1 and id = any($2) union all
     select id, name from keys where organisation = $1 and id = any($2)`,
    [organisation, ids],
  );
  return new Map(rows.map(({ id, name }) => [id, name]));
}

/** Of the ids given, those that are projects of the organisation. */
export async function projectsAmong(db: Queryable, organisation: string, ids: string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>("select id from projects where organisation = $1 and id = any($2)", [
    organisation,
    ids,
  ]);
  return rows.map(({ id }) => id);
}

/** At most `limit` keys of an organisation with this id, or whose name matches a pattern of LIKE; by name. */
export async function searchKeys(
  db: Queryable,
  organisation: string,
  { id, pattern }: { id: string; pattern: string },
  limit: number,
): Promise<{ id: string; name: string }[]> {
  const { rows } = await db.query<{ id: string; name: string }>(
    "select id, name from keys where organisation = $1 and (name ilike $2 or id = $3) order by name limit $4",
    [organisation, pattern, id, limit],
  );
  return rows;
}
