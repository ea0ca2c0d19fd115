// Looking up organisations, projects and keys, for the rooms above: names, what exists, and what a key may still do.
import type { Queryable } from "../../store/index.ts";

/** True when the organisation has an owner's key in force other than this one. */
export async function hasOtherOwnerKey(db: Queryable, organisation: string, key: string): Promise<boolean> {
  const { rowCount } = await db.query(
    "select from keys where organisation = $1 and role = 'owner' and revoked_at is null and id <> $2 limit 1",
    [organisation, key],
  );
  return rowCount !== 0;
}
