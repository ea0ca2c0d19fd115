// Content-addressed payloads (conversations, tool arguments and results): written once under the SHA-256 of their canonical
// JSON, referred to everywhere else. Journals and tables of other rooms hold references only.
import { createHash } from "node:crypto";
import { LineshaftError } from "../errors/index.ts";
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

/** The reference of a payload by its canonical JSON. */
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

/** A payload that should be in the store is not there. */
/** A payload of a project. Throws BlobMissingError. */
export async function getBlob(db: Queryable, project: string, ref: string): Promise<unknown> {
  const { rows } = await db.query<{ body: string }>("select body from blobs where project = $1 and ref = $2", [
    project,
    ref,
  ]);
  if (!rows[0])
    throw new LineshaftError({
      code: "blob_missing",
      message: `Payload ${ref} of project ${project} is not in the store.`,
    });
  return JSON.parse(rows[0].body) as unknown;
}

/**
 * Payloads of a project, read in one statement. The answer gives the payload of a reference; null for null, and for one that is not in
 * the store.
 */
export async function getBlobs(
  db: Queryable,
  project: string,
  refs: (string | null)[],
): Promise<(ref: string | null) => unknown> {
  const wanted = [...new Set(refs.flatMap((ref) => ref ?? []))];
  if (wanted.length === 0) return () => null;
  const { rows } = await db.query<{ ref: string; body: string }>(
    "select ref, body from blobs where project = $1 and ref = any($2)",
    [project, wanted],
  );
  const bodies = new Map(rows.map(({ ref, body }) => [ref, body]));
  return (ref) => (ref !== null && bodies.has(ref) ? (JSON.parse(bodies.get(ref)!) as unknown) : null);
}

/** The text at a path in each of these payloads, by reference; absent where the path, or the payload as jsonb, is not there. */
export async function blobFields(
  db: Queryable,
  project: string,
  refs: string[],
  path: string[],
): Promise<Map<string, string>> {
  const { rows } = await db.query<{ ref: string; field: string | null }>(
    `select ref, case when pg_input_is_valid(body, 'jsonb') then body::jsonb #>> $3 end as field
     from blobs where project = $1 and ref = any($2)`,
    [project, refs, path],
  );
  return new Map(rows.flatMap(({ ref, field }) => (field === null ? [] : [[ref, field] as const])));
}
