// The rows of the table `deployments`: what was published, and what the environment said at the last start.
import type { Database, Queryable } from "../../store/index.ts";
import { manifestOf } from "./manifest.ts";
import type { DeploymentSource, DeploymentSpec } from "./types.ts";

export interface StoredDeployment {
  [column: string]: unknown;
  name: string;
  organisation: string;
  manifest: unknown;
  source: DeploymentSource;
  created_at: Date;
  updated_at: Date;
}

/** The table as verbs. Throws what the database throws. */
export class DeploymentTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** All rows, oldest first. */
  async all(): Promise<StoredDeployment[]> {
    const { rows } = await this.#db.query<StoredDeployment>("select * from deployments order by created_at, name");
    return rows;
  }

  /** Stores what a person published. `updated_at` moves only when the manifest is another one (`changed`). */
  async publish(organisation: string, spec: DeploymentSpec, changed: boolean): Promise<StoredDeployment> {
    const { rows } = await this.#db.query<StoredDeployment>(
      `insert into deployments (name, organisation, manifest, source) values ($1, $2, $3, 'published')
       on conflict (name) do update set source = 'published', manifest = excluded.manifest,
         updated_at = case when $4 then now() else deployments.updated_at end
       returning *`,
      [spec.name, organisation, JSON.stringify(manifestOf(spec)), changed],
    );
    return rows[0]!;
  }

  async remove(name: string): Promise<void> {
    await this.#db.query("delete from deployments where name = $1", [name]);
  }

  /** Stores what the environment says, in place of what an earlier start stored under another name. */
  async replaceEnvironments(organisation: string, spec: DeploymentSpec): Promise<void> {
    await this.#db.transaction(async (client) => {
      await client.query("delete from deployments where source = 'environment' and name <> $1", [spec.name]);
      await client.query(
        `insert into deployments (name, organisation, manifest, source) values ($1, $2, $3, 'environment')
         on conflict (name) do update set manifest = excluded.manifest, updated_at = now()
         where deployments.source = 'environment' and deployments.manifest <> excluded.manifest`,
        [spec.name, organisation, JSON.stringify(manifestOf(spec))],
      );
    });
  }
}

/** Names of all deployments of this installation, the oldest first: a name is given once, and the oldest is the usual model. */
export async function deploymentNames(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>("select name from deployments order by created_at, name");
  return rows.map(({ name }) => name);
}
