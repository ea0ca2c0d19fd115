// The one door to Postgres: a pool, transactions, and Kysely over the same pool for queries that are not about money.
// Money and queue statements are raw SQL through `query`, so that they can be read aloud.
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import type { PoolClient, QueryResultRow } from "pg";
import { migrate } from "./migrate.ts";
import type { Tables } from "./tables.ts";

/** 64-bit integers arrive as bigint (money, tokens), numeric as string, timestamps as Date, json as parsed. */
const parsers = new Map<number, (value: string) => unknown>([
  [20, BigInt],
  [1016, (value) => (value === "{}" ? [] : value.slice(1, -1).split(",").map(BigInt))],
]);

export interface Queryable {
  query<Row extends QueryResultRow>(sql: string, values?: unknown[]): Promise<{ rows: Row[]; rowCount: number | null }>;
}

export type Listener = pg.Client;

export class Database implements Queryable {
  readonly url: string;
  readonly pool: pg.Pool;
  readonly kysely: Kysely<Tables>;

  constructor(url: string, options: { connections?: number } = {}) {
    this.url = url;
    this.pool = new pg.Pool({
      connectionString: url,
      max: options.connections ?? 12,
      application_name: "lineshaft",
      types: {
        // pg types this as an overload set over formats; only the text format is used here.
        getTypeParser: ((oid: number, format?: string) =>
          parsers.get(oid) ?? pg.types.getTypeParser(oid, format as "text")) as typeof pg.types.getTypeParser,
      },
    });
    // An idle connection that breaks (the server restarts) is replaced by the pool at the next query.
    this.pool.on("error", () => {});
    // One that breaks while it is borrowed fails its query; without a listener it would also end the process.
    this.pool.on("connect", (client) => client.on("error", () => {}));
    this.kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: this.pool }) });
  }

  query<Row extends QueryResultRow>(sql: string, values?: unknown[]) {
    return this.pool.query<Row>(sql, values);
  }

  /** A connection of its own for LISTEN, not yet connected: the pool's are anybody's between two queries. */
  listener(): Listener {
    return new pg.Client({ connectionString: this.url, application_name: "lineshaft listen" });
  }

  /** Runs `work` in one transaction; rolls back when it throws. */
  async transaction<Result>(work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    const client = await this.pool.connect();
    try {
      await client.query("begin");
      const result = await work(client);
      await client.query("commit");
      client.release();
      return result;
    } catch (error) {
      const broken = await client.query("rollback").then(
        () => false,
        () => true,
      );
      client.release(broken);
      throw error;
    }
  }

  /** To be called as the tables' owner; `runtimeRole` gets its rights on them. */
  async migrate(runtimeRole?: string): Promise<void> {
    const client = await this.pool.connect();
    try {
      await migrate(client, { runtimeRole });
    } finally {
      client.release();
    }
  }

  async close(): Promise<void> {
    await this.pool.end();
  }
}
