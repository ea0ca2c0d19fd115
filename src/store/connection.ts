// Connections outside the pool: the helpers that make, bound and end one, the question whether the server answers, and a line of
// statements. Every step is bounded, because a frozen server neither answers nor closes a connection.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { StoreUnavailableError } from "./failures.ts";
import { limits } from "./limits.ts";

/** A client that is not connected yet. */
export function makeClient(url: string, name: string): pg.Client {
  const client = new pg.Client({
    connectionString: url,
    application_name: name,
    keepAlive: true,
    keepAliveInitialDelayMillis: limits.keepAliveMs,
    connectionTimeoutMillis: limits.connectMs,
  });
  // Without a listener a connection that breaks would end the process.
  client.on("error", () => {});
  return client;
}

/** Ends a connection at once, whatever it waits for: its queries fail. */
export function breakOff(client: pg.ClientBase): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** Ends a connection politely, and its socket when the server does not answer that. */
export async function endClient(client: pg.Client): Promise<void> {
  const late = new AbortController();
  const ended = client.end().catch(() => {});
  await Promise.race([ended, sleep(limits.goodbyeMs, undefined, { signal: late.signal }).catch(() => {})]);
  late.abort();
  breakOff(client);
}

/** Rejects, and breaks the connection off, when the work takes longer than `ms` milliseconds. */
export async function bounded<Result>(client: pg.ClientBase, ms: number, work: Promise<Result>): Promise<Result> {
  const timer = setTimeout(() => breakOff(client), ms);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}

/** Asks the server whether it answers. */
export class Asker {
  readonly #url: string;
  #client: pg.Client | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  /** Resolves when the server has answered anything, a refusal included; rejects when it has not within `pingMs`. */
  async ask(): Promise<void> {
    const known = this.#client;
    const client = known ?? makeClient(this.#url, "lineshaft pulse");
    this.#client = client;
    try {
      await bounded<unknown>(client, limits.pingMs, known ? client.query("select 1") : client.connect());
    } catch (error) {
      if (this.#client === client) this.#client = undefined;
      breakOff(client);
      if (!(error instanceof pg.DatabaseError)) throw error;
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (client) await endClient(client);
  }
}

/** What a line tells its user. */
interface LineEvents {
  /** The connection has ended, whichever side ended it. */
  onEnd(line: Line): void;
  /** A notification of a channel that this connection listens to. */
  onNotification(channel: string, payload: string): void;
}

/** A connection whose statements run one after another in the order in which they were given, each within its bound. */
export class Line {
  readonly #client: pg.Client;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #ended = false;

  private constructor(client: pg.Client, events: LineEvents) {
    this.#client = client;
    const ended = () => {
      if (this.#ended) return;
      this.#ended = true;
      events.onEnd(this);
    };
    client.on("error", ended);
    client.on("end", ended);
    client.on("notification", ({ channel, payload }) => events.onNotification(channel, payload ?? ""));
  }

  /** Connects. Rejects when the server refuses, or does not answer within `connectMs`. */
  static async open(url: string, name: string, events: LineEvents): Promise<Line> {
    const client = makeClient(url, name);
    const line = new Line(client, events);
    try {
      await bounded(client, limits.connectMs, client.connect());
      return line;
    } catch (error) {
      line.breakOff();
      throw error;
    }
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * One statement, after those before it. Rejects with StoreUnavailableError when too many wait already, and with the connection's
   * error when the connection ends first, which it also does when the statement takes longer than `sessionStatementMs`.
   */
  ask<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
    if (this.#waiting >= limits.sessionWaiting)
      return Promise.reject(new StoreUnavailableError("Too many statements wait for the session.", { sent: false }));
    this.#waiting++;
    const answer = this.#last.then(async () => {
      try {
        if (this.#ended) throw new StoreUnavailableError("The session has ended.", { sent: false });
        const asked = this.#client.query<Row>(sql, values);
        return (await bounded(this.#client, limits.sessionStatementMs, asked)).rows;
      } finally {
        this.#waiting--;
      }
    });
    this.#last = answer.catch(() => {});
    return answer;
  }

  breakOff(): void {
    breakOff(this.#client);
  }

  end(): Promise<void> {
    this.#ended = true;
    return endClient(this.#client);
  }
}
