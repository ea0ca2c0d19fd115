// API keys: made here, shown once, kept as HMAC only. A stolen database alone opens nothing, and no key can be read back.
import { createHmac, randomBytes } from "node:crypto";

/** Marks a Lineshaft key wherever it is found (secret scanners look for such marks). */
const mark = "lsk_";
const shape = /^lsk_[0-9A-Za-z_-]{43}$/;

/** `lsk_` and 32 random bytes in base64url. */
export function newSecret(random = randomBytes(32)): string {
  return mark + random.toString("base64url");
}

/** Cheap check before any hashing or look-up. */
export function looksLikeSecret(text: string): boolean {
  return shape.test(text);
}

/** What is stored: HMAC-SHA-256 of the whole secret under the installation's own key. */
export function hmacOf(secret: string, installationKey: Buffer): Buffer {
  return createHmac("sha256", installationKey).update(secret).digest();
}
