// The one door to Postgres: a pool and transactions. Every statement is raw SQL through `query`, typed by the row that it answers.
//
// Nothing waits for ever. When the server answers nothing at all (pulse.ts), every statement that waits for it fails at once and new
// statements are refused until it answers again. A server that answers is given as long as the bound of the work.
import pg from "pg";
import type { PoolClient, QueryResultRow } from "pg";
import { setTimeout as sleep } from "node:timers/promises";
import { isStoreAway, StoreUnavailableError } from "./failures.ts";
import { limits } from "./limits.ts";
import { migrate } from "./migrate.ts";
import { Pulse } from "./pulse.ts";
import { Asker, bounded, breakOff } from "./connection.ts";

/** 64-bit integers arrive as bigint (money, tokens), numeric as string, timestamps as Date, json as parsed. */
const parsers = new Map<number, (value: string) => unknown>([
  [20, BigInt],
  // A numeric is a sum of amounts or counts, which may be beyond 64 bits. One with a fraction stays text, as pg has it.
  [1700, (value) => (value.includes(".") || value === "NaN" ? value : BigInt(value))],
  [1016, (value) => (value === "{}" ? [] : value.slice(1, -1).split(",").map(BigInt))],
]);

/** Makes the server give up the work of a client that has gone. Set by a statement, because poolers refuse startup parameters. */
const sessionSettings = [
  `set client_connection_check_interval = ${limits.clientCheckMs}`,
  `set idle_in_transaction_session_timeout = ${limits.idleTransactionMs}`,
].join("; ");

export interface Queryable {
  query<Row extends QueryResultRow>(sql: string, values?: unknown[]): Promise<{ rows: Row[]; rowCount: number | null }>;
}

interface WorkBound {
  /** The work is given up after this long, although the server lives. */
  boundMs?: number;
}

/** A borrowed connection, and when it is taken away. */
interface Loan {
  client: PoolClient;
  untilMs: number;
  /** Why it was taken away; such a connection is not used again. */
  broken: string | undefined;
}

const silentMessage = "The database does not answer.";

/** A pool of connections to one database, as one role. */
export class Database implements Queryable {
  readonly url: string;
  readonly pool: pg.Pool;
  readonly #asker: Asker;
  readonly #pulse: Pulse;
  readonly #loans = new Set<Loan>();
  /** Each fails one wait for a connection. */
  readonly #borrowing = new Set<(error: Error) => void>();
  readonly #listeners = new Set<(silent: boolean) => void>();
  readonly #answerListeners = new Set<() => void>();

  constructor(url: string, options: { connections?: number } = {}) {
    this.url = url;
    this.pool = new pg.Pool({
      connectionString: url,
      max: options.connections ?? limits.connections,
      application_name: "lineshaft",
      connectionTimeoutMillis: limits.connectMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: limits.keepAliveMs,
      // An older server that lacks a setting works without it.
      onConnect: (client) => bounded(client, limits.connectMs, client.query(sessionSettings)).catch(() => {}),
      types: {
        // pg types this as an overload set over formats; only the text format is used here.
        getTypeParser: ((oid: number, format?: string) =>
          parsers.get(oid) ?? pg.types.getTypeParser(oid, format as "text")) as typeof pg.types.getTypeParser,
      },
    });
    // An idle connection that breaks (the server restarts) is replaced by the pool at the next query.
    this.pool.on("error", () => {});
    this.pool.on("connect", (client) => {
      // A connection that breaks while it is borrowed fails its query; without a listener it would also end the process.
      client.on("error", () => {});
    });
    this.#asker = new Asker(url);
    this.#pulse = new Pulse({
      ask: () => this.#asker.ask(),
      onChange: (silent) => this.#changed(silent),
      onTick: () => this.#endOverdue(),
    });
  }

  /**
   * One statement. Throws StoreUnavailableError when the server has been silent for `limits.silentMs`, or has not answered this
   * statement within its bound; the connection is given up with it.
   */
  query<Row extends QueryResultRow>(sql: string, values?: unknown[], { boundMs = limits.queryMs }: WorkBound = {}) {
    return this.#lend(boundMs, (client) => client.query<Row>(sql, values));
  }

  /** Runs `work` in one transaction; rolls back when it throws. */
  transaction<Result>(
    work: (client: PoolClient) => Promise<Result>,
    { boundMs = limits.transactionMs }: WorkBound = {},
  ): Promise<Result> {
    return this.#lend(boundMs, async (client, loan) => {
      await client.query("begin");
      try {
        const result = await work(client);
        await client.query("commit");
        return result;
      } catch (error) {
        await client.query("rollback").catch((failed: Error) => (loan.broken ??= failed.message));
        throw error;
      }
    });
  }

  /** Whether the server answers; known within `limits.pingMs`, whatever hangs. */
  async answers(): Promise<boolean> {
    if (this.#pulse.silent) return false;
    return this.#asker.ask().then(
      () => true,
      () => false,
    );
  }

  /** Told when the server has ceased to answer, and when it answers again. */
  onSilence(listener: (silent: boolean) => void): void {
    this.#listeners.add(listener);
  }

  /** Told whenever the server has answered a statement, be it with a refusal. */
  onAnswer(listener: () => void): void {
    this.#answerListeners.add(listener);
  }

  /** To be called as the tables' owner; `runtimeRole` gets its rights on them. */
  async migrate(runtimeRole?: string): Promise<void> {
    await this.#lend(limits.longMs, (client) => migrate(client, { runtimeRole }));
  }

  /** Ends every connection; what is still borrowed after a moment is broken off. */
  async close(): Promise<void> {
    const late = new AbortController();
    const ended = this.pool.end();
    await Promise.race([ended, sleep(limits.goodbyeMs, undefined, { signal: late.signal }).catch(() => {})]);
    late.abort();
    this.#giveUp("The database was closed.");
    this.#pulse.close();
    await Promise.all([ended, this.#asker.close()]);
  }

  async #lend<Result>(boundMs: number, work: (client: PoolClient, loan: Loan) => Promise<Result>): Promise<Result> {
    if (this.#pulse.silent) throw new StoreUnavailableError(silentMessage, { sent: false });
    this.#pulse.enter();
    try {
      const client = await this.#borrow();
      const loan: Loan = { client, untilMs: performance.now() + boundMs, broken: undefined };
      this.#loans.add(loan);
      try {
        const result = await work(client, loan);
        this.#answered();
        return result;
      } catch (error) {
        if (error instanceof pg.DatabaseError) {
          // The server has refused a statement, and the connection is as good as before; a fatal error ends the connection too.
          this.#answered();
          if (error.severity !== "ERROR") loan.broken ??= error.message;
          throw error;
        }
        loan.broken ??= brokenReason(client, error);
        if (loan.broken === undefined) throw error;
        throw new StoreUnavailableError(loan.broken, { sent: true, cause: error });
      } finally {
        this.#loans.delete(loan);
        client.release(loan.broken !== undefined);
      }
    } finally {
      this.#pulse.leave();
    }
  }

  async #borrow(): Promise<PoolClient> {
    const asked = this.pool.connect();
    const givenUp = Promise.withResolvers<never>();
    this.#borrowing.add(givenUp.reject);
    try {
      return await Promise.race([asked, givenUp.promise]);
    } catch (error) {
      asked.then(
        (client) => client.release(),
        () => {},
      );
      throw unsent(error);
    } finally {
      this.#borrowing.delete(givenUp.reject);
    }
  }

  #answered(): void {
    this.#pulse.answered();
    for (const listener of this.#answerListeners) listener();
  }

  #changed(silent: boolean): void {
    if (silent) this.#giveUp(silentMessage);
    for (const listener of this.#listeners) listener(silent);
  }

  #giveUp(why: string): void {
    for (const fail of this.#borrowing) fail(new StoreUnavailableError(why, { sent: false }));
    for (const loan of this.#loans) this.#end(loan, why);
    // Idle connections may be as dead as those in use, and would each cost one statement its silence.
    for (let idle = this.pool.idleCount; idle > 0 && !this.pool.ending; idle--)
      this.pool.connect().then(
        (client) => client.release(true),
        () => {},
      );
  }

  #endOverdue(): void {
    const now = performance.now();
    for (const loan of this.#loans)
      if (now >= loan.untilMs) this.#end(loan, "The database took too long over a statement.");
  }

  #end(loan: Loan, why: string): void {
    if (loan.broken !== undefined) return;
    loan.broken = why;
    breakOff(loan.client);
  }
}

/** An error before anything was sent: the caller then knows that its statement had no effect. */
function unsent(error: unknown): unknown {
  if (error instanceof StoreUnavailableError) return error;
  const { message, code } = error as NodeJS.ErrnoException;
  if (message.startsWith("timeout exceeded when trying to connect"))
    return new StoreUnavailableError("All connections to the database are in use.", { sent: false, cause: error });
  // A wrong password and the like stay what they are.
  if (!isStoreAway(error)) return error;
  return new StoreUnavailableError(message || `It cannot be reached (${code}).`, { sent: false, cause: error });
}

/** Undefined when an error has nothing to do with the connection, which may then be used again. */
function brokenReason(client: PoolClient, error: unknown): string | undefined {
  const { _queryable: usable, _ending: ending } = client as unknown as { _queryable: boolean; _ending: boolean };
  return usable && !ending ? undefined : (error as Error).message;
}
