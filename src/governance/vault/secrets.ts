// Secrets: credentials that a project's tools send. One belongs to one project and to a list of hosts; it is revealed only for an
// address that one of those hosts covers, at the moment a request leaves.
//
// State of a secret: set -> (replaced by a new row | removed) -> its value erased, the row kept as a record of its author and time.
//
// The value is sealed for its project, name and hosts (seal.ts), so that a row that was changed in the database, or moved to another
// project, cannot be opened.
import { LineshaftError } from "../../errors/index.ts";
import { secretLimits } from "../../contract/index.ts";
import { canonicalHost, hostOf, hostsCover } from "../../egress/index.ts";
import { newId, type Database } from "../../store/index.ts";
import { Seal } from "./seal.ts";

/** A secret without its value. */
export interface Secret {
  id: string;
  name: string;
  project: string;
  hosts: string[];
  /** Id of the key that set it; undefined when it was carried over from an earlier version. */
  createdBy: string | undefined;
  createdAt: Date;
}

/** A project's secret by name. */
interface SecretName {
  project: string;
  name: string;
}

/** A secret that cannot be set or sent; `code` is stable (docs/errors.md), and the message says what to do. */
export class SecretError extends LineshaftError {
  constructor(
    code: "secret_missing" | "secret_host_refused" | "secret_unreadable" | "secret_invalid",
    message: string,
  ) {
    super({ code, message });
  }
}

interface SecretRow {
  [column: string]: unknown;
  id: string;
  name: string;
  project: string;
  hosts: string[];
  sealed: Buffer;
  created_by: string | null;
  created_at: Date;
}

const columns = "id, name, project, hosts, created_by, created_at";

/** The vault. `key` is the 32-byte key that values are sealed with. Its verbs throw SecretError, each with what to do. */
export class Secrets {
  readonly #db: Database;
  readonly #seal: Seal;

  constructor(options: { db: Database; key: Buffer }) {
    this.#db = options.db;
    this.#seal = new Seal(options.key);
  }

  /** Sets a secret, or replaces the one of that name with its hosts. Throws SecretError (`secret_invalid`). */
  async set(wanted: {
    organisation: string;
    project: string;
    name: string;
    hosts: string[];
    value: string;
    createdBy: string | undefined;
  }): Promise<Secret> {
    const { project, name } = wanted;
    const hosts = canonicalHosts(wanted.hosts);
    const sealed = this.#seal.seal(wanted.value, boundTo({ project, name, hosts }));
    return this.#db.transaction(async (client) => {
      // Serialises two that set the same name: the second replaces the first.
      await client.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [`secret ${project}/${name}`]);
      await client.query(
        "update secrets set removed_at = now(), sealed = null where project = $1 and name = $2 and removed_at is null",
        [project, name],
      );
      const { rows } = await client.query<SecretRow>(
        `insert into secrets (id, organisation, project, name, hosts, sealed, created_by) values ($1, $2, $3, $4, $5, $6, $7)
         returning ${columns}`,
        [newId("sec"), wanted.organisation, project, name, hosts, sealed, wanted.createdBy ?? null],
      );
      return secretOf(rows[0]!);
    });
  }

  /** Secrets of an organisation, without their values. */
  async list(organisation: string): Promise<Secret[]> {
    const { rows } = await this.#db.query<SecretRow>(
      `select ${columns} from secrets where organisation = $1 and removed_at is null order by name, project`,
      [organisation],
    );
    return rows.map(secretOf);
  }

  /** Removes it and erases its value; undefined when no secret has that name. */
  async remove(of: SecretName): Promise<Secret | undefined> {
    const { rows } = await this.#db.query<SecretRow>(
      `update secrets set removed_at = now(), sealed = null where project = $1 and name = $2 and removed_at is null
       returning ${columns}`,
      [of.project, of.name],
    );
    return rows[0] && secretOf(rows[0]);
  }

  /** True when the project has, or had, a secret of that name. */
  async known(of: SecretName): Promise<boolean> {
    const { rowCount } = await this.#db.query("select from secrets where project = $1 and name = $2 limit 1", [
      of.project,
      of.name,
    ]);
    return rowCount !== 0;
  }

  /** The value, for a request to this address. Throws SecretError. */
  async reveal(of: SecretName, address: string): Promise<string> {
    const row = await this.#find(of, address);
    try {
      return this.#seal.open(row.sealed, boundTo(row));
    } catch {
      throw new SecretError(
        "secret_unreadable",
        `The secret '${of.name}' cannot be unsealed: it was set with another secrets.json, or its row was changed. Set it again: ${setCommand(of.name, row.hosts)}`,
      );
    }
  }

  async #find(of: SecretName, address: string): Promise<SecretRow> {
    const { rows } = await this.#db.query<SecretRow>(
      `select ${columns}, sealed from secrets where project = $1 and name = $2 and removed_at is null`,
      [of.project, of.name],
    );
    const row = rows[0];
    const host = hostOf(address) ?? "HOST";
    if (!row)
      throw new SecretError(
        "secret_missing",
        `The project has no secret '${of.name}'. Set it: ${setCommand(of.name, [host])}`,
      );
    if (!hostsCover(row.hosts, address))
      throw new SecretError(
        "secret_host_refused",
        `The secret '${of.name}' may be sent to ${row.hosts.join(", ")} only, not to ${address}. If that address is right, set the secret again with its host: ${setCommand(of.name, [...row.hosts, host])}`,
      );
    return row;
  }
}

/** What the seal is bound to. */
function boundTo({ project, name, hosts }: SecretName & { hosts: string[] }): unknown {
  return [project, name, hosts];
}

/** Throws SecretError that names the host that cannot be read. */
function canonicalHosts(hosts: string[]): string[] {
  const canonical = hosts.map((host) => {
    const found = canonicalHost(host);
    if (found !== undefined) return found;
    throw new SecretError(
      "secret_invalid",
      `'${host}' is not a host. Write api.example.com, api.example.com:8443, *.example.com, 127.0.0.1:4077 for http on this machine, or http://tools.lan:8080 for http elsewhere.`,
    );
  });
  const distinct = [...new Set(canonical)].toSorted();
  if (distinct.length === 0 || distinct.length > secretLimits.hosts)
    throw new SecretError(
      "secret_invalid",
      `A secret has from 1 to ${secretLimits.hosts} hosts, not ${distinct.length}.`,
    );
  return distinct;
}

function setCommand(name: string, hosts: string[]): string {
  return `npx lineshaft secrets set ${name} ${hosts.map((host) => `--host ${host}`).join(" ")} < FILE`;
}

function secretOf(row: SecretRow): Secret {
  return {
    id: row.id,
    name: row.name,
    project: row.project,
    hosts: row.hosts,
    createdBy: row.created_by ?? undefined,
    createdAt: row.created_at,
  };
}
