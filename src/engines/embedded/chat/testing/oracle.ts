// The judge of what grammars write: ajv with patterns and formats switched on, which production leaves to the grammar. The schemas are
// those of tests, so patterns may run on JavaScript's own matcher, which knows nothing of our automata.
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormatsModule from "ajv-formats";
import { inDialect } from "../../../../bounded/dialect.ts";

const addFormats = addFormatsModule as unknown as (ajv: Ajv2020) => void;
// Pydantic's names for versions of UUIDs.
const uuids = [..."1345"].map(
  (version) =>
    [
      `uuid${version}`,
      new RegExp(`^[0-9a-f]{8}-[0-9a-f]{4}-${version}[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, "i"),
    ] as const,
);

/** A judge of values by a schema: what is wrong, or null. */
export function oracleOf(schema: unknown): (value: unknown) => string | null {
  const ajv = new Ajv2020({ strict: false, logger: false });
  addFormats(ajv);
  for (const [name, form] of uuids) ajv.addFormat(name, form);
  const check = ajv.compile(inDialect(schema) as object);
  return (value) => (check(value) ? null : ajv.errorsText(check.errors));
}
