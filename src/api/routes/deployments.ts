// Deployments: what this machine serves itself, by how many workers in which roles. Publishing says what is wanted and answers
// at once; asking again shows whether it has come about.
import { createRoute, z } from "@hono/zod-openapi";
import { LineshaftError } from "../../errors/index.ts";
import { checkDeployment, parseDeployment, type DeploymentSpec, type DeploymentState } from "../../fleet/index.ts";
import { limits } from "../limits.ts";
import { checkValues } from "../../gateway/values.ts";
import { action, apiApp, ofInstance } from "../apiApp.ts";
import { answers, notFound } from "../helpers.ts";
import type { DeploymentResource } from "../../contract/index.ts";
import { deployment, deploymentPublish, deploymentPublished, idText, wholeListQuery } from "../../contract/index.ts";
import { deploymentResource } from "../resources/deployment.ts";

/** What is done for these routes, by the process that has the deployments. */
export interface DeploymentVerbs {
  list(): Promise<DeploymentResource[]>;
  publish(organisation: string, spec: DeploymentSpec): Promise<{ changed: boolean }>;
  remove(organisation: string, name: string): Promise<boolean>;
}

const tags = ["Deployments"];
const nameParam = z.object({ name: idText });
const list = createRoute({
  method: "get",
  path: "/api/deployments",
  authorise: action("deployments.read", ofInstance),
  tags,
  summary: "What this machine serves itself, and by which workers",
  request: { query: wholeListQuery },
  responses: answers("All deployments", z.object({ data: z.array(deployment), next_cursor: z.null() })),
});
const read = createRoute({
  method: "get",
  path: "/api/deployments/{name}",
  authorise: action("deployments.read", ofInstance),
  tags,
  summary: "One deployment",
  request: { params: nameParam },
  responses: answers("The deployment", deployment, 404),
});
const publish = createRoute({
  method: "put",
  path: "/api/deployments/{name}",
  authorise: action("deployments.publish", ofInstance),
  tags,
  summary: "Say how a model is to be served",
  description:
    "Answers at once with `state: changing`; workers that are unchanged go on serving, and one that leaves ends its calls first. The same manifest again changes nothing.",
  request: {
    params: nameParam,
    body: { required: true, content: { "application/json": { schema: deploymentPublish } } },
  },
  responses: answers("The deployment, and whether anything changed", deploymentPublished, 400, 409),
});
const remove = createRoute({
  method: "delete",
  path: "/api/deployments/{name}",
  authorise: action("deployments.remove", ofInstance),
  tags,
  summary: "Stop serving a deployment, and erase the KV that its workers parked",
  responses: answers("It is gone", z.object({ name: z.string(), deleted: z.literal(true) }), 404, 409),
  request: { params: nameParam },
});

/** The verbs over the fleet's deployments, which are of this process. */
export function deploymentVerbs(deployments: {
  list(): DeploymentState[];
  publish: DeploymentVerbs["publish"];
  remove: DeploymentVerbs["remove"];
}): DeploymentVerbs {
  return {
    list: async () => deployments.list().map(deploymentResource),
    publish: (organisation, spec) => deployments.publish(organisation, spec),
    remove: (organisation, name) => deployments.remove(organisation, name),
  };
}

/** Routes of /api/deployments. */
export function deploymentRoutes(deployments: DeploymentVerbs) {
  const find = async (name: string) => {
    const found = (await deployments.list()).find((one) => one.name === name);
    if (!found) throw notFound("deployment", name, "GET /api/deployments lists them.");
    return found;
  };
  return apiApp()
    .openapi(list, async (c) => c.json({ data: await deployments.list(), next_cursor: null }, 200))
    .openapi(read, async (c) => c.json(await find(c.req.valid("param").name), 200))
    .openapi(publish, async (c) => {
      const { name } = c.req.valid("param");
      const spec = await checked(c.req.valid("json").manifest, c.var.principal.organisation);
      if (spec.name !== name)
        throw new LineshaftError({
          code: "invalid_value",
          message: `The manifest is of ${spec.name}, the address is of ${name}.`,
          param: "name",
          hint: "Give the same name at both places.",
        });
      const { changed } = await deployments.publish(c.var.principal.organisation, spec);
      return c.json({ ...(await find(name)), changed }, 200);
    })
    .openapi(remove, async (c) => {
      const { name } = c.req.valid("param");
      if (await deployments.remove(c.var.principal.organisation, name))
        return c.json({ name, deleted: true as const }, 200);
      throw notFound("deployment", name, "GET /api/deployments lists them.");
    });
}

async function checked(manifest: unknown, organisation: string): Promise<DeploymentSpec> {
  const spec =
    typeof manifest === "string"
      ? await parseDeployment(manifest, "deployment.yaml", organisation)
      : checkDeployment(manifest);
  // Escapes in YAML text have not been seen before.
  checkValues(spec, { depth: limits.apiBodyDepth, values: limits.apiBodyValues, text: true });
  return spec;
}
