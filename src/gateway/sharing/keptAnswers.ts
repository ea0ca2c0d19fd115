// Answers that are kept for identical calls of their project: sealed in the database, and the newest ones in the memory of each process. A
// kept answer is a copy of what can be asked for again, so neither a read nor a write of it ever fails a call.
import type { Seal } from "../../governance/index.ts";
import type { Database } from "../../store/index.ts";
import type { Logger } from "../../telemetry/index.ts";
import { limits } from "../limits.ts";
import type { KeptAnswer } from "./keptAnswer.ts";

interface Remembered {
  project: string;
  answer: KeptAnswer;
  bytes: number;
  expiresMs: number;
}

/** Kept answers by project and key. */
export class KeptAnswers {
  readonly #db: Database;
  readonly #seal: Seal;
  readonly #log: Logger;
  /** By project and key, least recently used first. */
  readonly #remembered = new Map<string, Remembered>();
  #bytes = 0;
  readonly #sweep: NodeJS.Timeout;

  constructor({ db, seal, log }: { db: Database; seal: Seal; log: Logger }) {
    this.#db = db;
    this.#seal = seal;
    this.#log = log;
    this.#sweep = setInterval(() => void this.removeExpired(), limits.keptSweepMs).unref();
  }

  /** The answer, where one is kept; undefined otherwise, and where the database does not answer. */
  async get(project: string, key: Buffer): Promise<KeptAnswer | undefined> {
    const name = nameOf(project, key);
    const known = this.#remembered.get(name);
    if (known && known.expiresMs > Date.now()) {
      this.#remembered.delete(name);
      this.#remembered.set(name, known);
      return known.answer;
    }
    this.#forget(name);
    try {
      const { rows } = await this.#db.query<{ answer: Buffer; expires_at: Date }>(
        "select answer, expires_at from kept_answers where project = $1 and key = $2 and expires_at > now()",
        [project, key],
      );
      const [row] = rows;
      if (!row) return undefined;
      const text = this.#seal.open(row.answer, ["kept_answers", project, key.toString("hex")]);
      const answer = JSON.parse(text) as KeptAnswer;
      this.#remember(name, { project, answer, bytes: text.length, expiresMs: row.expires_at.getTime() });
      return answer;
    } catch (error) {
      this.#log.warn({ project, err: (error as Error).message }, "a kept answer could not be read");
      return undefined;
    }
  }

  /** Keeps an answer for so many seconds in place of the one that is kept. Never rejects. */
  async put(project: string, key: Buffer, answer: KeptAnswer, { model, seconds }: { model: string; seconds: number }) {
    const text = JSON.stringify(answer);
    const sealed = this.#seal.seal(text, ["kept_answers", project, key.toString("hex")]);
    try {
      await this.#db.query(
        `insert into kept_answers (project, key, model, answer, bytes, expires_at)
         values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
         on conflict (project, key) do update
         set model = excluded.model, answer = excluded.answer, bytes = excluded.bytes, expires_at = excluded.expires_at`,
        [project, key, model, sealed, sealed.length, seconds],
      );
      const expiresMs = Date.now() + 1000 * seconds;
      this.#remember(nameOf(project, key), { project, answer, bytes: text.length, expiresMs });
    } catch (error) {
      this.#log.warn({ project, err: (error as Error).message }, "an answer could not be kept");
    }
  }

  /** Erases what is kept of a project. Other processes may remember it until it expires, at most `limits.rememberedMs`. */
  async erase(project: string): Promise<void> {
    for (const [name, one] of this.#remembered) if (one.project === project) this.#forget(name);
    await this.#db.query("delete from kept_answers where project = $1", [project]);
  }

  /** Removes answers whose time is over. Never rejects. */
  async removeExpired(): Promise<void> {
    try {
      let removed: number;
      do {
        const { rows } = await this.#db.query(
          `delete from kept_answers where (project, key) in (
             select project, key from kept_answers where expires_at < now() limit 1000) returning project`,
        );
        removed = rows.length;
      } while (removed === 1000);
    } catch (error) {
      this.#log.warn({ err: (error as Error).message }, "kept answers could not be removed");
    }
  }

  close(): void {
    clearInterval(this.#sweep);
  }

  #remember(name: string, one: Remembered): void {
    this.#forget(name);
    this.#remembered.set(name, { ...one, expiresMs: Math.min(one.expiresMs, Date.now() + limits.rememberedMs) });
    this.#bytes += one.bytes;
    for (const oldest of this.#remembered.keys()) {
      if (this.#bytes <= limits.rememberedBytes) break;
      this.#forget(oldest);
    }
  }

  #forget(name: string): void {
    const known = this.#remembered.get(name);
    if (!known) return;
    this.#remembered.delete(name);
    this.#bytes -= known.bytes;
  }
}

const nameOf = (project: string, key: Buffer): string => `${project}/${key.toString("base64")}`;
