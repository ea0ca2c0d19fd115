// Creations that may be sent again: with the same `Idempotency-Key` (and the same route, caller and body) the first answer is given once
// more, by whichever process is asked.
//
//   first request   row inserted -> created -> the row gets the answer -> committed, all in one transaction
//   the same again  its insert waits until the first has committed (answered from the row) or rolled back (made now)
//   a crash         rolls back: nothing was made, and the next request is a first one
//
// Answers are kept for a day, sealed, because one of them holds a secret that is stored nowhere else. What must be found for longer keeps
// the key in its own table, as runs do.
import { hash } from "node:crypto";
import type { Context } from "hono";
import { LineshaftError } from "../errors/index.ts";
import type { Seal } from "../governance/index.ts";
import type { Database, Queryable } from "../store/index.ts";
import { type ApiEnv } from "./helpers.ts";
import { limits } from "./limits.ts";

interface CreationRow {
  [column: string]: unknown;
  digest: Buffer;
  sealed: Buffer;
}

interface Rooms {
  db: Database;
  seal: Seal;
}

/**
 * Runs `create`, or answers what the same creation answered before. All that `create` writes must go through the client that it is
 * given, and its answer must be JSON. Throws LineshaftError: 400 for a key that is too long, 409 for another body.
 */
export async function idempotent<Answer>(
  { db, seal }: Rooms,
  c: Context<ApiEnv>,
  body: unknown,
  create: (client: Queryable) => Promise<Answer>,
): Promise<Answer> {
  const key = c.req.header("idempotency-key");
  if (key === undefined) return create(db);
  if (key.length > limits.idempotencyKeyCharacters) throw keyTooLong(key.length);
  const { organisation, key: caller } = c.var.principal;
  const name = sha256([caller, c.req.method, c.req.path, key]);
  const digest = sha256(body);
  const boundTo = [organisation, name.toString("hex")];
  return db.transaction(async (client) => {
    await forget(client, organisation);
    const made = await client.query(
      `insert into creations (organisation, name, digest, sealed) values ($1, $2, $3, '') on conflict do nothing`,
      [organisation, name, digest],
    );
    if (made.rowCount === 1) {
      const answer = await create(client);
      await client.query("update creations set sealed = $3 where organisation = $1 and name = $2", [
        organisation,
        name,
        seal.seal(JSON.stringify(answer), boundTo),
      ]);
      return answer;
    }
    const { rows } = await client.query<CreationRow>(
      "select digest, sealed from creations where organisation = $1 and name = $2",
      [organisation, name],
    );
    if (!rows[0]!.digest.equals(digest))
      throw idempotencyMismatch("This Idempotency-Key was used with another body.", "Use a new key for a new request.");
    return JSON.parse(seal.open(rows[0]!.sealed, boundTo)) as Answer;
  });
}

/** Drops what was kept for long enough, and the oldest of an organisation that makes very many. */
async function forget(client: Queryable, organisation: string): Promise<void> {
  await client.query(
    `delete from creations where organisation = $1 and (created_at < now() - make_interval(secs => $2)
       or created_at < (select created_at from creations where organisation = $1
                        order by created_at desc offset $3 limit 1))`,
    [organisation, limits.creationRememberedMs / 1000, limits.creationsRemembered - 1],
  );
}

/** The same key for something else. */
export function idempotencyMismatch(message: string, hint: string): LineshaftError {
  return new LineshaftError({ code: "idempotency_mismatch", message, hint });
}

const sha256 = (value: unknown): Buffer => hash("sha256", JSON.stringify(value), "buffer");

function keyTooLong(characters: number): LineshaftError {
  return new LineshaftError({
    code: "invalid_header",
    message: `idempotency-key has ${characters} characters.`,
    param: "idempotency-key",
    hint: `Give at most ${limits.idempotencyKeyCharacters}, such as a UUID.`,
  });
}
