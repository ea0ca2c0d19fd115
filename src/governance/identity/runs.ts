// The principal of a run. A run has no key of its own: it acts for the key that started it, and stops acting when that key is revoked.
import type { Queryable } from "../../store/index.ts";
import type { Role, RunPrincipal } from "../types.ts";

/**
 * The principal that a run acts as, with what its key may do now. Undefined once the key is revoked or gone, and where the key is of
 * another organisation or project than the run. It is asked for before each step, so it is never older than the step.
 */
export async function principalOfRun(
  db: Queryable,
  run: { id: string; agent: string; organisation: string; project: string; key: string | null },
): Promise<RunPrincipal | undefined> {
  const { rows } = await db.query<{ role: Role; currency: string }>(
    `select k.role, o.currency from keys k join organisations o on o.id = k.organisation
     where k.id = $1 and k.organisation = $2 and k.project = $3 and k.revoked_at is null`,
    [run.key, run.organisation, run.project],
  );
  const found = rows[0];
  if (!found || run.key === null) return undefined;
  return {
    kind: "run",
    key: run.key,
    organisation: run.organisation,
    project: run.project,
    role: found.role,
    currency: found.currency,
    act: { run: run.id, agent: run.agent },
  };
}
