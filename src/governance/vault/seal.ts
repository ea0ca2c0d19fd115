// How values lie in the database that only this installation may read: AES-256-GCM under a key of the home (secrets.json). What a value
// belongs to is authenticated with it, so that a row that was changed, or moved to another owner, cannot be opened.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

const nonceBytes = 12;
const tagBytes = 16;

/** Closes texts and bytes for one owner each, and opens them again. Its verbs need no database. */
export class Seal {
  readonly #key: Buffer;

  /** `key` has 32 bytes. */
  constructor(key: Buffer) {
    this.#key = key;
  }

  /** `of` says what the value belongs to; it must be given again to open it. */
  seal(value: string | Buffer, of: unknown): Buffer {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce).setAAD(bound(of));
    const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
    const closed = Buffer.concat([cipher.update(bytes), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), closed]);
  }

  /** Throws where it was sealed with another key, for something else, or was changed. */
  open(sealed: Buffer, of: unknown): string {
    return this.openBytes(sealed, of).toString("utf8");
  }

  /** The same as bytes. */
  openBytes(sealed: Buffer, of: unknown): Buffer {
    const decipher = createDecipheriv("aes-256-gcm", this.#key, sealed.subarray(0, nonceBytes))
      .setAAD(bound(of))
      .setAuthTag(sealed.subarray(nonceBytes, nonceBytes + tagBytes));
    return Buffer.concat([decipher.update(sealed.subarray(nonceBytes + tagBytes)), decipher.final()]);
  }
}

const bound = (of: unknown): Buffer => Buffer.from(JSON.stringify(of));
