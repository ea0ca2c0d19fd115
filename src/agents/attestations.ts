// A person's word on an effect whose end is not known. It stands where a tool's answer would, so it is never taken for one: it has an
// author and a note, it cannot be given by the key that gains from it, the verifier is shown it apart, and an outcome that rests on it
// says so wherever it is shown.
import { hasOtherOwnerKey, keyName } from "../governance/index.ts";
import { newId, type Database, type Queryable } from "../store/index.ts";

export interface Attestation {
  effect: string;
  tool: string;
  step: number;
  happened: boolean;
  note: string;
  /** The key that gave the word. */
  author: { key: string; name: string };
  at: Date;
}

/** What `effects.settle` is decided by: the key that started the run, and whether the organisation has an owner's key beside `key`. */
export async function settlementOf(
  db: Queryable,
  run: string,
  key: string,
): Promise<{ startedBy: string | null; otherOwners: boolean }> {
  const { rows } = await db.query<{ key: string | null; organisation: string }>(
    "select key, organisation from runs where id = $1",
    [run],
  );
  const { key: startedBy, organisation } = rows[0]!;
  return { startedBy, otherOwners: await hasOtherOwnerKey(db, organisation, key) };
}

/** To be called in the transaction that moves the effect. */
export async function insertAttestation(
  client: Queryable,
  owner: { organisation: string; project: string; run: string },
  word: { effect: string; happened: boolean; note: string; author: string },
): Promise<void> {
  await client.query(
    `insert into attestations (id, organisation, project, run, effect, happened, note, author, author_name)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      newId("atst"),
      owner.organisation,
      owner.project,
      owner.run,
      word.effect,
      word.happened,
      word.note,
      word.author,
      await keyName(client, word.author),
    ],
  );
}

/** Words that stand for a tool's answer in a run: the effects that are done because a person said that they happened. */
export async function attestedEffects(db: Pick<Database, "query">, run: string): Promise<Attestation[]> {
  const { rows } = await db.query<{
    effect: string;
    tool: string;
    step: number;
    note: string;
    author: string;
    author_name: string;
    created_at: Date;
  }>(
    `select a.effect, e.tool, e.step, a.note, a.author, a.author_name, a.created_at
     from attestations a join effects e on e.key = a.effect
     where a.run = $1 and a.happened order by a.created_at, a.id`,
    [run],
  );
  return rows.map((row) => ({
    effect: row.effect,
    tool: row.tool,
    step: row.step,
    happened: true,
    note: row.note,
    author: { key: row.author, name: row.author_name },
    at: row.created_at,
  }));
}
