// Organisations, projects and keys, and the way from a bearer token to a principal.
//
// A principal is remembered for `rememberMs`, so a busy key costs one look-up a second, and a key that another process revokes opens
// nothing after that second. A key that this process revokes opens nothing at once. Unknown tokens are remembered too (bounded), so
// that guessing tokens does not load the database.
//
// While the database is away a token is believed that the database confirmed within the offline term, because calls go on then (DESIGN
// section 4, "Outage"). A revocation cannot be made in that time either, unless another process still reaches the database: such a
// revocation is heard here when the database answers again, and after the offline term at the latest nothing is believed.
import { hash } from "node:crypto";
import { newId, StoreUnavailableError, type Database, type Queryable } from "../../store/index.ts";
import { KeyWatch } from "./keyWatch.ts";
import { hmacOf, looksLikeSecret, newSecret } from "./keys.ts";
import type { Principal, Role } from "../types.ts";

const rememberMs = 1000;
/** Tokens that are remembered: those of keys, and apart from them unknown ones, so that guesses push no key out. */
const rememberedAtMost = 10_000;
/** How long a token that was confirmed opens calls while the database is away: as long as the ledger admits calls without it. */
const offlineMs = 600_000;

/** A key without its secret. */
export interface Key {
  id: string;
  name: string;
  role: Role;
  project: string;
  createdAt: Date;
  revokedAt: Date | undefined;
}

/** An organisation and one of its projects. */
interface Tenant {
  organisation: { id: string; name: string; currency: string };
  project: { id: string; name: string };
}

interface KeyRow {
  [column: string]: unknown;
  id: string;
  name: string;
  role: Role;
  project: string;
  created_at: Date;
  revoked_at: Date | null;
}

/**
 * Organisations, projects and keys. `secret` is the installation's 32-byte key of the HMAC under which tokens are stored. Its verbs throw
 * what the store throws (`store_unavailable`, `storage_full`), and answer undefined for what does not exist.
 */
export class Identity {
  readonly #db: Database;
  readonly #installationKey: Buffer;
  readonly #now: () => number;
  readonly #watch: KeyWatch;
  /** Principals by the hash of their token, with the moment at which the database confirmed them; the oldest first. */
  readonly #known = new Map<string, { principal: Principal; confirmedAt: number }>();
  /** The same moments by principal, for `isConfirmed`. */
  readonly #confirmed = new WeakMap<Principal, number>();
  /** Tokens that open nothing, with the moment until which they are not looked up again. */
  readonly #unknown = new Map<string, number>();

  /** Keys that this process has revoked. */
  #revocations = 0;

  constructor(options: { db: Database; secret: Buffer; now?: () => number }) {
    this.#db = options.db;
    this.#installationKey = options.secret;
    this.#now = options.now ?? Date.now;
    this.#watch = new KeyWatch(options.db, (key) => this.#forget(key));
  }

  /** The principal of a bearer token that was confirmed just now: what `authenticate` would answer without a question to the database. */
  remembered(token: string): Principal | undefined {
    if (!looksLikeSecret(token)) return undefined;
    const known = this.#known.get(cacheKeyOf(token));
    return known && known.confirmedAt + rememberMs > this.#now() ? known.principal : undefined;
  }

  /** The principal of a bearer token; undefined for unknown, malformed and revoked ones alike. */
  async authenticate(token: string): Promise<Principal | undefined> {
    if (!looksLikeSecret(token)) return undefined;
    const known = this.remembered(token);
    if (known) return known;
    const cacheKey = cacheKeyOf(token);
    const now = this.#now();
    if ((this.#unknown.get(cacheKey) ?? 0) > now) return undefined;
    const revocations = this.#revocations;
    let principal: Principal | undefined;
    try {
      principal = await this.#lookUp(hmacOf(token, this.#installationKey));
    } catch (error) {
      const believed = this.#known.get(cacheKey);
      if (error instanceof StoreUnavailableError && believed && believed.confirmedAt + offlineMs > this.#now())
        return believed.principal;
      throw error;
    }
    // A row that was read before a revocation may be the revoked key's: to remember it would keep that key alive.
    if (revocations !== this.#revocations) return principal;
    this.#remember(cacheKey, principal, now);
    return principal;
  }

  /**
   * Whether `authenticate` would answer this principal, which it has answered before, without a question to the database. It costs no hash
   * of the token.
   */
  isConfirmed(principal: Principal): boolean {
    return (this.#confirmed.get(principal) ?? -Infinity) + rememberMs > this.#now();
  }

  #remember(cacheKey: string, principal: Principal | undefined, now: number): void {
    const before = this.#known.get(cacheKey);
    if (before) this.#confirmed.delete(before.principal);
    this.#known.delete(cacheKey);
    if (!principal) {
      if (this.#unknown.size >= rememberedAtMost) this.#unknown.clear();
      this.#unknown.set(cacheKey, now + rememberMs);
      return;
    }
    if (this.#known.size >= rememberedAtMost) {
      const [oldest, { principal: forgotten }] = this.#known.entries().next().value!;
      this.#known.delete(oldest);
      this.#confirmed.delete(forgotten);
    }
    this.#known.set(cacheKey, { principal, confirmedAt: now });
    this.#confirmed.set(principal, now);
  }

  /** A key that is known to be revoked opens nothing, whether the database answers or not. */
  #forget(key: string): void {
    for (const [cacheKey, { principal }] of this.#known) {
      if (principal.key !== key) continue;
      this.#known.delete(cacheKey);
      this.#confirmed.delete(principal);
    }
  }

  /**
   * The principal of a key by its id, for work of it that goes on without its token; undefined where it was revoked or never was. The
   * answer is that of the database at this moment.
   */
  async principalOf(key: string): Promise<Principal | undefined> {
    return this.#principal("k.id = $1", key);
  }

  #lookUp(hmac: Buffer): Promise<Principal | undefined> {
    return this.#principal("k.secret_hmac = $1", hmac);
  }

  async #principal(where: string, value: Buffer | string): Promise<Principal | undefined> {
    const { rows } = await this.#db.query<{
      key: string;
      organisation: string;
      project: string;
      role: Role;
      currency: string;
    }>(
      `select k.id as key, k.organisation, k.project, k.role, o.currency
       from keys k join organisations o on o.id = k.organisation where ${where} and k.revoked_at is null`,
      [value],
    );
    return rows[0] && { kind: "key", ...rows[0] };
  }

  /** Finds or makes an organisation and its first project. The currency of one that exists stands. */
  async ensureTenant(wanted: { organisation: string; project: string; currency: string }): Promise<Tenant> {
    await this.#db.query(
      `with organisation as (
         insert into organisations (id, name, currency) values ($1, $2, $3)
         on conflict (name) do update set name = excluded.name returning id)
       insert into projects (id, organisation, name) select $4, id, $5 from organisation on conflict do nothing`,
      [newId("org"), wanted.organisation, wanted.currency, newId("prj"), wanted.project],
    );
    const { rows } = await this.#db.query<{ organisation: string; currency: string; project: string }>(
      `select o.id as organisation, o.currency, p.id as project
       from organisations o join projects p on p.organisation = o.id where o.name = $1 and p.name = $2`,
      [wanted.organisation, wanted.project],
    );
    const { organisation, currency, project } = rows[0]!;
    return {
      organisation: { id: organisation, name: wanted.organisation, currency },
      project: { id: project, name: wanted.project },
    };
  }

  /** Names of a principal's organisation and project. */
  async tenantOf(principal: Principal): Promise<Tenant> {
    const { rows } = await this.#db.query<{ organisation: string; project: string }>(
      "select o.name as organisation, p.name as project from organisations o join projects p on p.organisation = o.id where p.id = $1",
      [principal.project],
    );
    return {
      organisation: { id: principal.organisation, name: rows[0]!.organisation, currency: principal.currency },
      project: { id: principal.project, name: rows[0]!.project },
    };
  }

  /** Id of a project of the organisation, by its id or its name. */
  async projectOf(organisation: string, idOrName: string): Promise<string | undefined> {
    const { rows } = await this.#db.query<{ id: string }>(
      "select id from projects where organisation = $1 and (id = $2 or name = $2) order by id = $2 desc limit 1",
      [organisation, idOrName],
    );
    return rows[0]?.id;
  }

  /** Makes a key. The secret is in the answer and nowhere else. `client`: the transaction that it becomes part of. */
  async createKey(
    wanted: { organisation: string; project: string; name: string; role: Role },
    client: Queryable = this.#db,
  ): Promise<{ key: Key; secret: string }> {
    const secret = newSecret();
    const { rows } = await client.query<KeyRow>(
      `insert into keys (id, organisation, project, name, role, secret_hmac) values ($1, $2, $3, $4, $5, $6)
       returning id, name, role, project, created_at, revoked_at`,
      [
        newId("key"),
        wanted.organisation,
        wanted.project,
        wanted.name,
        wanted.role,
        hmacOf(secret, this.#installationKey),
      ],
    );
    return { key: keyOf(rows[0]!), secret };
  }

  async listKeys(organisation: string): Promise<Key[]> {
    const { rows } = await this.#db.query<KeyRow>(
      "select id, name, role, project, created_at, revoked_at from keys where organisation = $1 order by id",
      [organisation],
    );
    return rows.map(keyOf);
  }

  /**
   * Calls `onRevoked` once when the key is revoked: at once when this process does it, within a second otherwise. Answers how to stop
   * watching. For what a key has begun and that goes on after the request was let in.
   */
  watch(key: string, onRevoked: () => void): () => void {
    return this.#watch.watch(key, onRevoked);
  }

  /** Ends a key at once; undefined when there is none of that id. Revoking it again changes nothing. */
  async revokeKey(organisation: string, id: string): Promise<Key | undefined> {
    const { rows } = await this.#db.query<KeyRow>(
      `update keys set revoked_at = coalesce(revoked_at, now()) where organisation = $1 and id = $2
       returning id, name, role, project, created_at, revoked_at`,
      [organisation, id],
    );
    this.#revocations++;
    this.#forget(id);
    if (rows[0]) this.#watch.revoked(id);
    return rows[0] && keyOf(rows[0]);
  }
}

/**
 * A whole SHA-256: two tokens can never share an entry, and no token lies in memory. The HMAC, which costs twenty times as much to make in
 * Node, is needed only to look a token up.
 */
const cacheKeyOf = (token: string): string => hash("sha256", token, "base64");

function keyOf(row: KeyRow): Key {
  return {
    id: row.id,
    name: row.name,
    role: row.role,
    project: row.project,
    createdAt: row.created_at,
    revokedAt: row.revoked_at ?? undefined,
  };
}
