// Watches the keys of work that outlasts the start of its request (streams, calls in the queue, feeds of live events), and tells that work
// when its key is revoked. One statement asks for all watched keys, twice a second and only while there are any, so five thousand idle
// feeds cost as much as one. A process that revokes a key itself tells its own watchers at once.
import type { Database } from "../../store/index.ts";

const lookEveryMs = 500;

export class KeyWatch {
  readonly #db: Pick<Database, "query">;
  readonly #onRevoked: (key: string) => void;
  readonly #watched = new Map<string, Set<() => void>>();
  #looking = false;

  /** `onRevoked`: told of every key that is found revoked. */
  constructor(db: Pick<Database, "query">, onRevoked: (key: string) => void = () => {}) {
    this.#db = db;
    this.#onRevoked = onRevoked;
  }

  /** Calls `onRevoked` once when the key is revoked or gone. Answers how to stop watching. */
  watch(key: string, onRevoked: () => void): () => void {
    let watchers = this.#watched.get(key);
    if (!watchers) this.#watched.set(key, (watchers = new Set()));
    // A function of its own, so that one listener given twice is two.
    const tell = () => onRevoked();
    watchers.add(tell);
    if (!this.#looking) this.#later();
    return () => {
      watchers.delete(tell);
      if (watchers.size === 0 && this.#watched.get(key) === watchers) this.#watched.delete(key);
    };
  }

  /** Tells every watcher of this key, once. */
  revoked(key: string): void {
    const watchers = this.#watched.get(key);
    this.#watched.delete(key);
    this.#onRevoked(key);
    for (const tell of watchers ?? []) tell();
  }

  /** One look at all keys that are watched. A key whose row is gone counts as revoked. */
  async #look(): Promise<void> {
    const { rows } = await this.#db.query<{ key: string }>(
      `select key from unnest($1::text[]) key
       where not exists (select from keys k where k.id = key and k.revoked_at is null)`,
      [[...this.#watched.keys()]],
    );
    for (const { key } of rows) this.revoked(key);
  }

  #later(): void {
    this.#looking = this.#watched.size > 0;
    if (!this.#looking) return;
    setTimeout(() => {
      // Without the database no revocation can be read. The next look asks again; keys are believed for the offline term meanwhile.
      this.#look()
        .catch(() => {})
        .finally(() => this.#later());
    }, lookEveryMs).unref();
  }
}
