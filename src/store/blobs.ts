// Content-addressed payloads (conversations, tool arguments and results): written once under the SHA-256 of their canonical
// JSON, referred to everywhere else. Journals and tables of other rooms hold references only.
import { createHash } from "node:crypto";
import type { Queryable } from "./database.ts";

/** `sha256:` and 64 hex digits. */
export type BlobRef = `sha256:${string}`;

/** JSON with sorted keys: equal values have equal text, hence equal references. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}

export function refOf(canonical: string): BlobRef {
  return `sha256:${createHash("sha256").update(canonical).digest("hex")}`;
}

/** Stores a JSON value for a project and answers its reference; storing it again is a no-op. */
export async function putBlob(db: Queryable, project: string, value: unknown): Promise<BlobRef> {
  const canonical = canonicalJson(value);
  const ref = refOf(canonical);
  await db.query("insert into blobs (project, ref, body) values ($1, $2, $3) on conflict do nothing", [
    project,
    ref,
    canonical,
  ]);
  return ref;
}

export class BlobMissingError extends Error {
  readonly code = "blob_missing";
}

export async function getBlob(db: Queryable, project: string, ref: string): Promise<unknown> {
  const { rows } = await db.query<{ body: string }>("select body from blobs where project = $1 and ref = $2", [
    project,
    ref,
  ]);
  if (!rows[0]) throw new BlobMissingError(`Payload ${ref} of project ${project} is not in the store.`);
  return JSON.parse(rows[0].body) as unknown;
}
