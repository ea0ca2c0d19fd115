// Whose prompt is whose in a cache that organisations share. Every call to vLLM carries a `cache_salt`: blocks of different
// salts never match, so that neither time nor `cached_tokens` tells one organisation what another has asked. The salt is a
// hash, since the engine publishes it with its events; read backwards, those tell the scheduler whose prefix a block is.
import { createHash } from "node:crypto";
import { limits } from "./limits.ts";

export class Salts {
  /** Both in order of last use; bounded, since organisations come and go. */
  readonly #byOrganisation = new Map<string, string>();
  readonly #bySalt = new Map<string, string>();
  /** Salts in events that nobody here has used: another instance's, or of calls from before this process. */
  readonly #unknown = new Set<string>();
  readonly #most: number;
  readonly #onRecognised: () => void;

  /** `onRecognised` is called when a salt, seen in events before, turns out to belong to an organisation. */
  constructor(onRecognised: () => void = () => {}, most: number = limits.salts) {
    this.#onRecognised = onRecognised;
    this.#most = most;
  }

  /** The organisation's salt: the same in every process, so that caches outlive this one. */
  of(organisation: string): string {
    let salt = this.#byOrganisation.get(organisation);
    if (salt === undefined) salt = createHash("sha256").update(`lineshaft/${organisation}`).digest("base64url");
    else this.#byOrganisation.delete(organisation);
    this.#byOrganisation.set(organisation, salt);
    this.#bySalt.set(salt, organisation);
    if (this.#byOrganisation.size > this.#most) {
      const [oldest, its] = this.#byOrganisation.entries().next().value!;
      this.#byOrganisation.delete(oldest);
      this.#bySalt.delete(its);
    }
    if (this.#unknown.delete(salt)) this.#onRecognised();
    return salt;
  }

  /** Whose salt it is. A stranger's is answered as a name that no organisation has. */
  ownerOf(salt: string): string {
    const organisation = this.#bySalt.get(salt);
    if (organisation !== undefined) return organisation;
    if (this.#unknown.size < this.#most) this.#unknown.add(salt);
    return `unknown/${salt}`;
  }
}
