// Writes the JSON schemas that editors check manifests with: docs/schemas/agent.json, from the same zod schema that publishing uses.
// manifest.test.ts fails when the file is behind.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { manifestJsonSchema } from "../src/agents/manifest.ts";

const folder = join(import.meta.dirname, "..", "docs", "schemas");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "agent.json"), `${JSON.stringify(manifestJsonSchema(), null, 2)}\n`);
