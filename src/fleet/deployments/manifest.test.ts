import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { expect, test } from "vitest";
import { defaultPolicy } from "../../scheduler/index.ts";
import { ManifestError } from "../manifest.ts";
import { checkDeployment, deploymentJsonSchema, manifestOf, parseDeployment } from "./manifest.ts";

const examples = fileURLToPath(new URL("../../../examples/deployments", import.meta.url));

test("what is left out has its default", async () => {
  expect(await parseDeployment("kind: Deployment\nname: chat")).toEqual({
    name: "chat",
    model: undefined,
    roles: { both: 1, prefill: 0, decode: 0 },
    placement: defaultPolicy,
    slots: 8,
    contextTokens: undefined,
    threads: undefined,
    kvBudgetBytes: undefined,
  });
});

test.each([
  ["2GiB", 2 * 1024 ** 3],
  ["500 MB", 500e6],
  ["1.5TB", 1.5e12],
  [1_000_000, 1_000_000],
])("a size is written %s", (kv_budget, bytes) => {
  expect(checkDeployment({ kind: "Deployment", name: "chat", kv_budget }).kvBudgetBytes).toBe(bytes);
});

test.each([
  ["replicas: -1", "d.yaml:3: replicas: "],
  ["replicas: two", "d.yaml:3: replicas: "],
  ["replicas: 2\nroles: {both: 1}", "d.yaml:3: replicas: is given beside 'roles'"],
  ["roles:\n  prefill: 1", "d.yaml:3: roles.decode: is 0, so no worker would decode"],
  ["roles:\n  decode: 1", "roles.prefill: is 0, so no worker would compute prompts"],
  ["placement: fastest", "d.yaml:3: placement: "],
  ["slots: 0", "d.yaml:3: slots: "],
  ["kv_budget: much", "d.yaml:3: kv_budget: "],
  ["model: ../x.gguf", "d.yaml:3: model: must be a name of the catalogue or an absolute path"],
  ["replica: 2", "d.yaml:3: replica: is not a field of a manifest"],
])("%j is refused with field and line", async (line, message) => {
  const read = () => parseDeployment(`kind: Deployment\nname: chat\n${line}\n`, "d.yaml");
  await expect(read()).rejects.toThrow(ManifestError);
  await expect(read()).rejects.toThrow(message);
});

test.each(["Chat", "worker-0", "", "a b"])("%j is no name", (name) => {
  expect(() => checkDeployment({ kind: "Deployment", name })).toThrow(/^name: /);
});

test.each(readdirSync(examples))(
  "examples/deployments/%s is right, and comes back from its own words",
  async (file) => {
    const spec = await parseDeployment(readFileSync(join(examples, file), "utf8"), file);
    expect(checkDeployment(JSON.parse(JSON.stringify(manifestOf(spec))))).toEqual(spec);
  },
);

test("docs/schemas/deployment.json is what the code says (scripts/writeSchemas.ts writes it)", () => {
  const written = readFileSync(new URL("../../../docs/schemas/deployment.json", import.meta.url), "utf8");
  expect(JSON.parse(written)).toEqual(JSON.parse(JSON.stringify(deploymentJsonSchema())));
});
