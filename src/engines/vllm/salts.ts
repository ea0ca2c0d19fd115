// Cache salts for a cache that projects share. Every call to vLLM carries a `cache_salt`: blocks of different salts never match, so neither
// response time nor `cached_tokens` tells one project what another has asked. The salt is a hash because the engine publishes it with its
// events. Looked up backwards, it tells the scheduler whose prefix a block is.
import { saltText } from "../salts.ts";
import { limits } from "./limits.ts";

export class Salts {
  /** Both in order of last use, and bounded, because projects and keys come and go. */
  readonly #byOurs = new Map<string, string>();
  readonly #bySalt = new Map<string, string>();
  /** Salts in events that this process has not used: those of another instance, or of calls before this process started. */
  readonly #unknown = new Set<string>();
  readonly #most: number;
  readonly #onRecognised: () => void;

  /** `onRecognised` is called when a salt, seen in events before, turns out to be one of ours. */
  constructor(onRecognised: () => void = () => {}, most: number = limits.salts) {
    this.#onRecognised = onRecognised;
    this.#most = most;
  }

  /** vLLM's salt for a cache salt: the same in every process, so that caches outlive this one. */
  of(cacheSalt: string): string {
    let salt = this.#byOurs.get(cacheSalt);
    if (salt === undefined) salt = saltText(cacheSalt);
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

  /** The cache salt that it stands for. An unknown salt is answered by a name that no project has. */
  ownerOf(salt: string): string {
    const cacheSalt = this.#bySalt.get(salt);
    if (cacheSalt !== undefined) return cacheSalt;
    if (this.#unknown.size < this.#most) this.#unknown.add(salt);
    return `unknown/${salt}`;
  }
}
