// Connections of their own, outside the pool: one that asks whether the server lives, one that holds an advisory lock for as long as
// this process lives. Every step of them is bounded, because a frozen server neither answers nor closes.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { limits } from "./limits.ts";

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

/** Rejects, and breaks the connection off, when the work takes longer than its bound. */
export async function bounded<Result>(client: pg.ClientBase, ms: number, work: Promise<Result>): Promise<Result> {
  const timer = setTimeout(() => breakOff(client), ms);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}

/** Asks the server whether it lives. */
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

/**
 * An advisory lock that says that a process lives: the lock is free as soon as its session has ended, however it ended, with no clock
 * and no heartbeat. When only the session breaks, the lock is taken again.
 */
export class HeldLock {
  readonly #url: string;
  readonly #key: readonly [namespace: number, key: number];
  readonly #name: string;
  #client: pg.Client | undefined;
  #closed = false;

  constructor(url: string, name: string, key: readonly [namespace: number, key: number]) {
    this.#url = url;
    this.#name = name;
    this.#key = key;
  }

  /** Takes the lock; rejects when the server does not answer in time. */
  async open(): Promise<void> {
    const client = makeClient(this.#url, this.#name);
    client.on("error", () => this.#lost(client));
    client.on("end", () => this.#lost(client));
    try {
      await bounded(client, limits.connectMs, client.connect());
      const taken = client.query("select pg_advisory_lock($1, $2)", [...this.#key]);
      await bounded(client, limits.sessionStatementMs, taken);
    } catch (error) {
      breakOff(client);
      throw error;
    }
    if (this.#closed) await endClient(client);
    else this.#client = client;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const client = this.#client;
    this.#client = undefined;
    if (client) await endClient(client);
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client || this.#closed) return;
    this.#client = undefined;
    this.#reopen();
  }

  #reopen(): void {
    if (this.#closed) return;
    this.open().catch(() => setTimeout(() => this.#reopen(), limits.sessionAgainMs).unref());
  }
}
