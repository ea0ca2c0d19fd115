// JSON Schema checks of what comes from outside a run: its input, a model's arguments and answers, definitions of tools. They are done in
// a thread (bounded/), since a schema's author chooses what its check costs. A tool's server checks its own arguments anyway, and a
// decision's shape is enforced while it is generated.
import {
  boundedSchema,
  CheckBusyError,
  SchemaBoundError,
  schemaDefect as defectOf,
  valueProblem,
  type Schema,
} from "../bounded/index.ts";
import { StepError } from "./errors.ts";
import { limits } from "./limits.ts";

type Json = Record<string, unknown>;

/** Why a value does not fit a schema, in one line; undefined when it does. */
export type Check = (schema: Json, value: unknown) => Promise<string | undefined>;

/** Schemas by object: those of a version live as long as the version is held in memory. */
const known = new WeakMap<object, Schema>();

function bounded(schema: Json): Schema {
  let found = known.get(schema);
  if (!found) known.set(schema, (found = boundedSchema(schema)));
  return found;
}

/** Checks on behalf of an organisation. Throws StepError (`checks_busy`, to be tried again) when too many of its checks wait. */
export function checksOf(organisation: string): Check {
  return async (schema, value) => {
    try {
      const problem = await busyAsStep(valueProblem(bounded(schema), JSON.stringify(value) ?? "null", organisation));
      return problem && `${problem.path.slice(1).replaceAll("/", ".") || "it"} ${problem.message}`;
    } catch (error) {
      if (error instanceof SchemaBoundError) return `its schema ${error.message}`;
      throw error;
    }
  };
}

/** Why a JSON schema cannot be used; undefined when it can. */
export async function schemaDefect(schema: Json, organisation: string): Promise<string | undefined> {
  try {
    return await busyAsStep(defectOf(bounded(schema), organisation));
  } catch (error) {
    if (error instanceof SchemaBoundError) return `it ${error.message}; make it smaller`;
    throw error;
  }
}

async function busyAsStep<Verdict>(asked: Promise<Verdict>): Promise<Verdict> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof CheckBusyError)) throw error;
    throw new StepError("checks_busy", error.message, {
      retryAfterMs: limits.retryFirstMs,
      patient: true,
      cause: error,
    });
  }
}
