// Schemas of agents, tools and decisions are read in the same dialect as everywhere.
import { testDialect } from "../bounded/testing/dialect.ts";
import { checksOf, schemaDefect } from "./validation.ts";

const check = checksOf("org");

testDialect("the check of agents and tools", async (schema, value) => {
  const defect = await schemaDefect(schema as Record<string, unknown>, "org");
  if (defect !== undefined) return { refused: defect };
  return (await check(schema as Record<string, unknown>, value)) === undefined ? "fits" : "misfits";
});
