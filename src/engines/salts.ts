// The salt that a call carries to an engine whose cache projects share. It is a hash, because engines publish it with their events and
// write it into logs, and the same in every process, so that caches outlive this one.
import { createHash } from "node:crypto";

/** An engine's salt for a cache salt. */
export const saltText = (cacheSalt: string): string =>
  createHash("sha256").update(`lineshaft/${cacheSalt}`).digest("base64url");
