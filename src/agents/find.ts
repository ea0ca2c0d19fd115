// Looking up agents and runs by id, by name or by a few letters, and counting runs, for the rooms above.
import type { Reach } from "../governance/index.ts";
import type { Queryable } from "../store/index.ts";

/** An agent or a run by the name that a person knows it by; a run goes by the name of its agent. */
interface Named {
  id: string;
  name: string;
}

/** Agents within reach that have this id or name: names are unique in a project, so an owner may mean several. The id's comes first. */
export async function findAgents(db: Queryable, [organisation, project]: Reach, idOrName: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select id from agents where organisation = $1 and ($3::text is null or project = $3) and (id = $2 or name = $2)
     order by id = $2 desc`,
    [organisation, idOrName, project],
  );
  return rows.map(({ id }) => id);
}

/** Names of agents of an organisation, by id. */
export async function agentNames(db: Queryable, organisation: string, ids: string[]): Promise<Map<string, string>> {
  const { rows } = await db.query<Named>("select id, name from agents where organisation = $1 and id = any($2)", [
    organisation,
    ids,
  ]);
  return new Map(rows.map(({ id, name }) => [id, name]));
}

/** Of the ids given, those that are runs within reach. */
export async function runsAmong(db: Queryable, [organisation, project]: Reach, ids: string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    "select id from runs where organisation = $1 and ($2::text is null or project = $2) and id = any($3)",
    [organisation, project, ids],
  );
  return rows.map(({ id }) => id);
}

/** Of the ids given, those that are agents within reach. */
export async function agentsAmong(db: Queryable, [organisation, project]: Reach, ids: string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    "select id from agents where organisation = $1 and ($2::text is null or project = $2) and id = any($3)",
    [organisation, project, ids],
  );
  return rows.map(({ id }) => id);
}

/** At most `limit` agents within reach whose name matches a pattern of LIKE, whatever its letters' case; by name. */
export async function searchAgents(
  db: Queryable,
  [organisation, project]: Reach,
  pattern: string,
  limit: number,
): Promise<Named[]> {
  const { rows } = await db.query<Named>(
    `select id, name from agents
     where organisation = $1 and ($2::text is null or project = $2) and name ilike $3 order by name limit $4`,
    [organisation, project, pattern, limit],
  );
  return rows;
}

/** At most `limit` runs within reach whose ids begin with `prefix`, newest first. */
export async function runsBeginning(
  db: Queryable,
  [organisation, project]: Reach,
  prefix: string,
  limit: number,
): Promise<Named[]> {
  const { rows } = await db.query<Named>(
    `select r.id, a.name from runs r join agents a on a.id = r.agent
     where r.organisation = $1 and ($2::text is null or r.project = $2) and r.id >= $3 and r.id < $3 || '~'
     order by r.id desc limit $4`,
    [organisation, project, prefix, limit],
  );
  return rows;
}

interface RunFigures {
  running: number;
  waiting: number;
  completed: number;
  failed: number;
}

/** Runs that are running and waiting now, and those that ended in the range (half open) by how they did. */
export async function runFigures(
  db: Queryable,
  [organisation, project]: Reach,
  { from, to }: { from: Date; to: Date },
): Promise<RunFigures> {
  const { rows } = await db.query<Record<keyof RunFigures, bigint>>(
    `select count(*) filter (where status in ('queued', 'running')) as running,
       count(*) filter (where status = 'waiting') as waiting,
       count(*) filter (where status = 'completed' and ended_at >= $3 and ended_at < $4) as completed,
       count(*) filter (where status in ('failed', 'stopped') and ended_at >= $3 and ended_at < $4) as failed
     from runs where organisation = $1 and ($2::text is null or project = $2)`,
    [organisation, project, from, to],
  );
  const row = rows[0]!;
  return {
    running: Number(row.running),
    waiting: Number(row.waiting),
    completed: Number(row.completed),
    failed: Number(row.failed),
  };
}
