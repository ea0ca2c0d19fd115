// A person's word on an effect whose end is not known. It stands where a tool's answer would, so it is never taken for one: it has an
// author and a note, it cannot be given by the key that gains from it, the verifier is shown it apart, and an outcome that rests on it
// says so wherever it is shown.
import { newId, type Database, type Queryable } from "../store/index.ts";
import type { Principal } from "../governance/types.ts";
import { LineshaftError } from "../errors/index.ts";

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

/**
 * Refuses a word that the principal may not give: only owners do, and not with the key that started the run while the organisation has
 * another owner's key. A single owner must be able to settle its own runs; the outcome is marked all the same.
 */
export async function mayAttest(db: Queryable, principal: Principal, run: string): Promise<void> {
  if (principal.role !== "owner")
    throw new LineshaftError({
      code: "owner_only",
      message: "Only an owner's key may settle an effect whose end is not known.",
      hint: "Ask an owner to look at the tool's system and to settle it.",
    });
  const { rows } = await db.query<{ own: boolean; others: boolean }>(
    `select r.key = $2 as own, exists (
       select from keys k where k.organisation = r.organisation and k.role = 'owner' and k.revoked_at is null and k.id <> $2) as others
     from runs r where r.id = $1`,
    [run, principal.key],
  );
  if (rows[0]?.own && rows[0].others)
    throw new LineshaftError({
      code: "attestation_own_run",
      message: "The key that started a run cannot settle its effects while the organisation has another owner's key.",
      hint: "Settle it with another owner's key.",
    });
}

/** To be called in the transaction that moves the effect. */
export async function insertAttestation(
  client: Queryable,
  owner: { organisation: string; project: string; run: string },
  word: { effect: string; happened: boolean; note: string; author: string },
): Promise<void> {
  await client.query(
    `insert into attestations (id, organisation, project, run, effect, happened, note, author, author_name)
     select $1, $2, $3, $4, $5, $6, $7, $8, coalesce((select name from keys where id = $8), $8)`,
    [
      ...[newId("atst"), owner.organisation, owner.project, owner.run],
      ...[word.effect, word.happened, word.note, word.author],
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
