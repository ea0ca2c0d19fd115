// Whose prompt is whose in a cache that projects share. Every call to vLLM carries a `cache_salt`: blocks of different
// salts never match, so that neither time nor `cached_tokens` tells one project what another has asked. The salt is a
// hash, since the engine publishes it with its events; read backwards, those tell the scheduler whose prefix a block is.
import { createHash } from "node:crypto";
import { limits } from "./limits.ts";

export class Salts {
  /** Both in order of last use; bounded, since projects and keys come and go. */
  readonly #byOurs = new Map<string, string>();
  readonly #bySalt = new Map<string, string>();
  /** Salts in events that nobody here has used: another instance's, or of calls from before this process. */
  readonly #unknown = new Set<string>();
  readonly #most: number;
  readonly #onRecognised: () => void;

  /** `onRecognised` is called when a salt, seen in events before, turns out to be one of ours. */
  constructor(onRecognised: () => void = () => {}, most: number = limits.salts) {
    this.#onRecognised = onRecognised;
    this.#most = most;
  }

  /** vLLM's salt for one of ours: the same in every process, so that caches outlive this one. */
  of(cacheSalt: string): string {
    let salt = this.#byOurs.get(cacheSalt);
    if (salt === undefined) salt = createHash("sha256").update(`lineshaft/${cacheSalt}`).digest("base64url");
    else this.#byOurs.delete(cacheSalt);
    this.#byOurs.set(cacheSalt, salt);
    this.#bySalt.set(salt, cacheSalt);
    if (this.#byOurs.size > this.#most) {
      const [oldest, its] = this.#byOurs.entries().next().value!;
      this.#byOurs.delete(oldest);
      this.#bySalt.delete(its);
    }
    if (this.#unknown.delete(salt)) this.#onRecognised();
    return salt;
  }

  /** Whose salt it is. A stranger's is answered as a name that no project has. */
  ownerOf(salt: string): string {
    const cacheSalt = this.#bySalt.get(salt);
    if (cacheSalt !== undefined) return cacheSalt;
    if (this.#unknown.size < this.#most) this.#unknown.add(salt);
    return `unknown/${salt}`;
  }
}
