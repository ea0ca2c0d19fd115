// JSON schemas of callers, and values against them: bounded by size here, compiled and checked in a thread. Verdicts are remembered, so that
// a schema that cannot be compiled, or a value whose check has passed its limit, costs nothing when it comes again.
import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { LineshaftError } from "../errors/index.ts";
import type { SchemaProblem } from "./compile.ts";
import { limits } from "./limits.ts";
import { inThread } from "./pool.ts";
import { SchemaBoundError, schemaCost } from "./schemaCost.ts";
import { TaskError } from "./threads.ts";

/** A schema that is within the bounds of size. It may still be no schema: `schemaDefect` says so. */
export interface Schema {
  readonly text: string;
  readonly nodes: number;
  /** Hash of the text. */
  readonly key: string;
}

/** Too much waits, or the machine could not do the work: nothing is wrong with the schema, another try may do better. */
export class CheckBusyError extends LineshaftError {
  constructor(message: string, options?: ErrorOptions) {
    super({ code: "checks_busy", message, retryAfterSeconds: 1, cause: options?.cause });
  }
}

/** Counts a schema and takes it as text. Throws SchemaBoundError. */
export function boundedSchema(schema: unknown): Schema {
  const { nodes } = schemaCost(schema);
  const text = JSON.stringify(schema);
  if (text.length > limits.schemaBytes)
    throw new SchemaBoundError("schemaBytes", `is longer than ${limits.schemaBytes} bytes`);
  return { text, nodes, key: hash(text) };
}

function hash(...parts: string[]): string {
  const digest = createHash("sha256");
  for (const part of parts) digest.update(part).update("\0");
  return digest.digest("base64");
}

/** Verdicts by hash: of schemas why they cannot be used, of values why they do not fit. */
const verdicts = new LRUCache<string, SchemaProblem | "fine">({ max: limits.rememberedVerdicts });

/** Why a schema cannot be used; undefined when it can. `group` is the organisation on whose behalf it is asked. */
export async function schemaDefect(schema: Schema, group: string): Promise<string | undefined> {
  const known = verdicts.get(schema.key);
  if (known) return known === "fine" ? undefined : known.message;
  try {
    await inThread(group, { kind: "compile", schema: schema.text });
    verdicts.set(schema.key, "fine");
    return undefined;
  } catch (error) {
    const message = problemIn(error, "compile");
    verdicts.set(schema.key, { path: "", message });
    return message;
  }
}

/** Why a value, given as JSON text, does not fit a schema; undefined when it does. */
export async function valueProblem(schema: Schema, text: string, group: string): Promise<SchemaProblem | undefined> {
  if (text.length > limits.valueBytes)
    return { path: "", message: `is longer than ${limits.valueBytes} bytes and is not checked` };
  const key = hash(schema.key, text);
  const known = verdicts.get(key);
  if (known && known !== "fine") return known;
  try {
    return await inThread<SchemaProblem | undefined>(group, {
      kind: "check",
      schema: schema.text,
      value: text,
    });
  } catch (error) {
    const problem = { path: "", message: problemIn(error, "check against its schema") };
    verdicts.set(key, problem);
    return problem;
  }
}

const anything = boundedSchema(true);

/** Why a text is not JSON; undefined when it is. A short one is parsed here, where that is quicker than to ask a thread. */
export async function jsonProblem(text: string, group: string): Promise<SchemaProblem | undefined> {
  if (text.length > limits.parsedHereBytes) return valueProblem(anything, text, group);
  try {
    JSON.parse(text);
    return undefined;
  } catch {
    return { path: "", message: "is not JSON" };
  }
}

/** What went wrong in the thread, as words for the caller. Throws what is not the schema's or the value's fault. */
function problemIn(error: unknown, what: string): string {
  if (!(error instanceof TaskError)) throw error;
  if (error.temporary)
    throw new CheckBusyError(`The JSON schema could not be checked. ${error.message}`, { cause: error });
  if (error.code === "cpu") return `takes more than ${limits.taskCpuMs} ms to ${what}`;
  if (error.code === "memory") return `needs more than ${limits.threadMemoryMb} MB to ${what}`;
  return error.message;
}
