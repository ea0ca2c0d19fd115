// Writes the JSON schemas that editors check manifests with, docs/schemas/*.json, from the same zod schemas that publishing uses.
// The tests of each manifest fail when its file is behind.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { manifestJsonSchema } from "../src/agents/manifestSchema.ts";
import { deploymentJsonSchema } from "../src/fleet/deployments/manifest.ts";

const folder = join(import.meta.dirname, "..", "docs", "schemas");
mkdirSync(folder, { recursive: true });
const write = (file: string, schema: Record<string, unknown>) =>
  writeFileSync(join(folder, file), `${JSON.stringify(schema, null, 2)}\n`);
write("agent.json", manifestJsonSchema());
write("deployment.json", deploymentJsonSchema());
