// Creations that may be sent again: with the same `Idempotency-Key` (and the same route, caller and body) the first answer is given once
// more. Answers are kept in memory, because one of them holds a secret that is never stored. What must survive a restart keeps the
// key in its own table, as runs do.
import { hash } from "node:crypto";
import type { Context } from "hono";
import { LineshaftError } from "../errors/index.ts";
import { type ApiEnv } from "./helpers.ts";
import { limits } from "./limits.ts";

interface Creation {
  at: number;
  /** Of the body, which may be long. */
  digest: string;
  answer: Promise<unknown>;
}

/** Creations of each organisation by name, oldest first. Each has a bound of its own, so no organisation pushes out another's. */
const remembered = new Map<string, Map<string, Creation>>();

/** Runs `create`, or answers what the same creation answered before. Throws LineshaftError: 400 for a key that is too long, 409 for another body. */
export async function idempotent<Answer>(
  c: Context<ApiEnv>,
  body: unknown,
  create: () => Promise<Answer>,
): Promise<Answer> {
  const key = c.req.header("idempotency-key");
  if (key === undefined) return create();
  if (key.length > limits.idempotencyKeyCharacters) throw keyTooLong(key.length);
  const { organisation, key: caller } = c.var.principal;
  const name = JSON.stringify([caller, c.req.method, c.req.path, key]);
  const digest = hash("sha256", JSON.stringify(body), "base64");
  const creations = creationsOf(organisation);
  const known = creations.get(name);
  if (known?.digest === digest) return known.answer as Promise<Answer>;
  if (known)
    throw idempotencyMismatch("This Idempotency-Key was used with another body.", "Use a new key for a new request.");
  const answer = create();
  const creation = { at: Date.now(), digest, answer };
  creations.set(name, creation);
  // A creation that failed made nothing: the next try is a new one.
  answer.catch(() => creations.get(name) === creation && creations.delete(name));
  const [oldest] = creations.keys();
  if (creations.size > limits.creationsRemembered) creations.delete(oldest!);
  return answer;
}

/** The same key for something else. */
export function idempotencyMismatch(message: string, hint: string): LineshaftError {
  return new LineshaftError({ code: "idempotency_mismatch", message, hint });
}

/** The creations of an organisation that are still remembered; older ones are dropped. */
function creationsOf(organisation: string): Map<string, Creation> {
  const creations = remembered.get(organisation) ?? new Map<string, Creation>();
  remembered.set(organisation, creations);
  const now = Date.now();
  for (const [oldest, { at }] of creations) {
    if (now - at < limits.creationRememberedMs) break;
    creations.delete(oldest);
  }
  return creations;
}

function keyTooLong(characters: number): LineshaftError {
  return new LineshaftError({
    code: "invalid_header",
    message: `idempotency-key has ${characters} characters.`,
    param: "idempotency-key",
    hint: `Give at most ${limits.idempotencyKeyCharacters}, such as a UUID.`,
  });
}
