// The one Postgres session that a process keeps beside its pool, for what lives as long as a session does: advisory locks and LISTEN.
//
//   away -- connected, its locks taken and its channels listened to again --> connected -- the connection ended --> away
//
// While it is away it connects again with growing pauses. While it is connected it asks `select 1` every few seconds, so that a
// connection that the network has dropped silently is noticed. A server that is frozen answers nothing, so the session counts as lost
// after one statement's bound; when the server goes on, the session comes back by itself.
//
// A session that comes back ends the backend that it had before, because a server that has not noticed the broken connection keeps
// that backend's locks. A lock that is still taken afterwards belongs to another process, which the lock's user is told.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { LineshaftError } from "../errors/index.ts";
import { Line } from "./connection.ts";
import { StoreUnavailableError } from "./failures.ts";
import { limits } from "./limits.ts";
import { newProcessId, processNamespace } from "./process.ts";

/** An advisory lock: two 32-bit integers, the namespace of one kind of lock and the key in it. */
export type LockKey = readonly [namespace: number, key: number];

/** `disconnected`: the session has ended and is made again. `taken`: the session is there, and another one holds the lock. */
export type LostReason = "disconnected" | "taken";

/** Plain callbacks of a user of the session; they must not throw. */
export interface Watcher {
  /** The lock is not held any more, or the channel not listened to. */
  lost?(reason: LostReason): void;
  /** The lock is held again, or the channel listened to again: notifications in between were missed. */
  back?(): void;
}

/** Another session holds an advisory lock that was asked for. */
interface SessionOptions {
  url: string;
  /** The identity of this process; a new one where absent. */
  processId?: number;
  /** Told when the process's own lock is lost, and when it is held again. */
  watcher?: Watcher;
}

interface Lock {
  key: LockKey;
  watcher: Watcher;
  state: "held" | LostReason;
}

interface Listener {
  heard(payload: string): void;
  watcher: Watcher;
  isLost: boolean;
}

/** A server process by what does not change while it lives: process ids are used again. */
interface Backend {
  [column: string]: unknown;
  pid: number;
  began: string;
}

/** The session of a process; see the head of this file. Made by `Session.open`. */
export class Session {
  /** The identity of this process (process.ts). Its lock is held while the session is connected. */
  readonly processId: number;
  readonly #url: string;
  readonly #locks = new Set<Lock>();
  readonly #channels = new Map<string, Set<Listener>>();
  #line: Line | undefined;
  /** The server's process behind the newest connection. */
  #backend: Backend | undefined;
  #failures = 0;
  #isTicking = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #closing = new AbortController();

  private constructor(url: string, processId: number) {
    this.#url = url;
    this.processId = processId;
  }

  /** Connects and takes the process's own lock. Rejects when the server cannot be reached or does not answer in time. */
  static async open({ url, processId = newProcessId(), watcher }: SessionOptions): Promise<Session> {
    const session = new Session(url, processId);
    try {
      await session.#connect();
      await session.hold([processNamespace, processId], watcher);
    } catch (error) {
      await session.close();
      throw error;
    }
    session.#schedule();
    return session;
  }

  /**
   * Takes an advisory lock and keeps it until it is released or the session is closed: after a lost connection it is taken again. Resolves
   * with the function that releases it. Throws LineshaftError `lock_taken` when another session holds the lock, and StoreUnavailableError
   * while the session is away.
   */
  async hold(key: LockKey, watcher: Watcher = {}): Promise<() => Promise<void>> {
    const line = this.#connected();
    if (!(await tryLock(line, key)))
      throw new LineshaftError({
        code: "lock_taken",
        message: `Another session holds the advisory lock ${key.join(", ")}.`,
      });
    const lock: Lock = { key, watcher, state: line === this.#line ? "held" : "disconnected" };
    this.#locks.add(lock);
    return async () => {
      this.#locks.delete(lock);
      // A session that has ended holds no lock.
      await this.#line?.ask("select pg_advisory_unlock($1, $2)", [...key]).catch(() => {});
    };
  }

  /**
   * Calls `heard` with the payload of every notification of a channel, until the function that it resolves with is called. Resolves
   * when the server has taken the LISTEN, for which it waits while the session is away; rejects when the session is closed first.
   */
  async listen(channel: string, heard: (payload: string) => void, watcher: Watcher = {}): Promise<() => void> {
    const listener: Listener = { heard, watcher, isLost: false };
    const listeners = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, listeners.add(listener));
    const stop = () => {
      listeners.delete(listener);
      if (listeners.size > 0 || this.#channels.get(channel) !== listeners) return;
      this.#channels.delete(channel);
      this.#line?.ask(`unlisten ${pg.escapeIdentifier(channel)}`).catch(() => {});
    };
    while (!(await this.#listensOn(channel))) await sleep(limits.sessionAgainMs, undefined, this.#untilClosed);
    return stop;
  }

  /**
   * Sends a notification. Notifications of one session arrive in the order in which they were given. Rejects, and the notification is
   * lost, while the session is away and when too many wait.
   */
  async notify(channel: string, payload: string): Promise<void> {
    await this.#connected().ask("select pg_notify($1, $2)", [channel, payload]);
  }

  /** Ends the session, and with it its locks. No watcher is told; what waits for it is rejected. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    const line = this.#line;
    this.#line = undefined;
    await line?.end();
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  get #untilClosed(): { signal: AbortSignal; ref: false } {
    return { signal: this.#closing.signal, ref: false };
  }

  #connected(): Line {
    if (this.#line) return this.#line;
    throw new StoreUnavailableError("The session with the database is away.", { sent: false });
  }

  async #listensOn(channel: string): Promise<boolean> {
    try {
      await this.#connected().ask(`listen ${pg.escapeIdentifier(channel)}`);
      return true;
    } catch {
      this.#closing.signal.throwIfAborted();
      return false;
    }
  }

  /** Connects and listens again; the locks are taken again by `#takeLocks`. */
  async #connect(): Promise<void> {
    const line = await Line.open(this.#url, "lineshaft session", {
      onEnd: (ended) => this.#ended(ended),
      onNotification: (channel, payload) => {
        for (const { heard } of this.#channels.get(channel) ?? []) heard(payload);
      },
    });
    try {
      await this.#replaceBackend(line);
      for (const channel of this.#channels.keys()) await line.ask(`listen ${pg.escapeIdentifier(channel)}`);
      if (line.ended) throw new StoreUnavailableError("The session ended as it began.", { sent: false });
    } catch (error) {
      line.breakOff();
      throw error;
    }
    if (this.#isClosed) return line.end();
    this.#line = line;
    for (const listener of this.#listeners()) {
      if (!listener.isLost) continue;
      listener.isLost = false;
      listener.watcher.back?.();
    }
  }

  /** Ends the backend of the connection before, which may not have noticed that its client has gone. */
  async #replaceBackend(line: Line): Promise<void> {
    const former = this.#backend;
    const [backend] = await line.ask<Backend>(
      "select pid, backend_start::text as began from pg_stat_activity where pid = pg_backend_pid()",
    );
    this.#backend = backend;
    if (!former) return;
    // When the server refuses this, the locks of the former backend are reported as taken until it ends by itself.
    await line
      .ask("select pg_terminate_backend(pid, $3) from pg_stat_activity where pid = $1 and backend_start::text = $2", [
        former.pid,
        former.began,
        limits.backendEndMs,
      ])
      .catch(() => {});
  }

  /** Tries every lock that is not held, and tells its user what has changed. */
  async #takeLocks(): Promise<void> {
    const line = this.#connected();
    for (const lock of this.#locks) {
      if (lock.state === "held") continue;
      const state = (await tryLock(line, lock.key)) ? "held" : "taken";
      if (line !== this.#line) return;
      if (lock.state === state || !this.#locks.has(lock)) continue;
      lock.state = state;
      if (state === "held") lock.watcher.back?.();
      else lock.watcher.lost?.(state);
    }
  }

  #ended(line: Line): void {
    if (this.#line !== line) return;
    this.#line = undefined;
    for (const lock of this.#locks) {
      const wasHeld = lock.state === "held";
      lock.state = "disconnected";
      if (wasHeld) lock.watcher.lost?.("disconnected");
    }
    for (const listener of this.#listeners()) {
      listener.isLost = true;
      listener.watcher.lost?.("disconnected");
    }
    if (!this.#isTicking) this.#schedule();
  }

  #listeners(): Listener[] {
    return [...this.#channels.values()].flatMap((listeners) => [...listeners]);
  }

  /** One look after the session: connect when it is away, ask whether the server answers when it is not, take what is not held. */
  async #tick(): Promise<void> {
    this.#isTicking = true;
    try {
      if (this.#line) await this.#line.ask("select 1");
      else await this.#connect();
      await this.#takeLocks();
      this.#failures = 0;
    } catch {
      this.#failures++;
    }
    this.#isTicking = false;
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#tick(), this.#pauseMs()).unref();
  }

  #pauseMs(): number {
    if (this.#failures > 0)
      return Math.min(limits.sessionAgainMs * 2 ** (this.#failures - 1), limits.sessionAgainMostMs);
    if (!this.#line) return 0;
    return [...this.#locks].every(({ state }) => state === "held") ? limits.sessionPulseMs : limits.sessionAgainMs;
  }
}

/** True when this line's session holds the lock now. */
async function tryLock(line: Line, key: LockKey): Promise<boolean> {
  const [row] = await line.ask<{ held: boolean }>("select pg_try_advisory_lock($1, $2) as held", [...key]);
  return row!.held;
}
