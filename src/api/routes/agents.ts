// The API of agents and runs: /api/agents, /api/runs. Every answer's shape stands in contract/.
import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { LineshaftError } from "../../errors/index.ts";
import type { Resource } from "../../governance/index.ts";
import { action, apiApp, ofInstance, ofProject, type ApiApp } from "../apiApp.ts";
import { answers, notFound, page, type ApiEnv } from "../helpers.ts";
import { idempotencyMismatch } from "../idempotency.ts";
import * as schemas from "../../contract/index.ts";
import { settlementOf } from "../../agents/attestations.ts";
import type { AgentParts, Dependencies, Viewer } from "../../agents/index.ts";
import { StepError } from "../../agents/errors.ts";
import { limits } from "../../agents/limits.ts";
import { manifestJsonSchema } from "../../agents/manifestSchema.ts";
import { newestVersion, publish } from "../../agents/registry.ts";
import { listAgents, listRuns, readAgent, readRun, readRunDetail } from "../../agents/read.ts";
import { checksOf } from "../../agents/validation.ts";
import { agentDetailResource, agentResource, runDetailResource, runResource } from "../resources/run.ts";

const body = (schema: z.ZodType) => ({ content: { "application/json": { schema } }, required: true });
const idParam = z.object({ id: schemas.idText });
const idempotencyHeader = z.object({ "idempotency-key": z.string().min(1).max(200).optional() });
const effectResolution = schemas.strict({
  key: schemas.idText.describe("Key of the effect whose end is not known"),
  happened: z.boolean(),
  note: z.string().trim().min(1).max(1000).describe("What was looked at; it is kept with the key that says so"),
  result: z.unknown().optional().describe("What the tool would have answered, when it happened"),
});

/** Routes of /api/agents, /api/runs and the schema of manifests. */
export function agentRoutes(parts: AgentParts): ApiApp {
  const { dependencies } = parts;
  const { db, gateway } = dependencies;
  const app = apiApp();
  /** The run whose effect a person settles. Throws 404 for one that the caller's project does not have. */
  const settled = async (c: Context<ApiEnv>): Promise<Resource> => {
    const { principal } = c.var;
    const id = c.req.param("id")!;
    if (!(await readRun(db, principal, id))) throw notFound("run", id, "GET /api/runs lists them.");
    return { ...ofProject(c), settles: await settlementOf(db, id, principal.key) };
  };

  app.openapi(
    createRoute({
      method: "get",
      path: "/api/agents",
      authorise: action("agents.read", ofProject),
      tags: ["Agents"],
      summary: "Agents, newest first",
      request: { query: schemas.pageQuery },
      responses: answers("Agents, newest first", schemas.pageOf(schemas.agentSummary)),
    }),
    async (c) => {
      const query = c.req.valid("query");
      return c.json(page(await listAgents(db, c.var.principal, query), query.limit, agentResource), 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/api/agents",
      authorise: action("agents.publish", ofProject),
      tags: ["Agents"],
      summary: "Publish an agent; owners only",
      request: { body: body(schemas.agentDeploy) },
      responses: answers("The agent's newest version", schemas.agentDeployed, 400, 502),
    }),
    async (c) => {
      const { principal } = c.var;
      const deployment = c.req.valid("json") as z.infer<typeof schemas.agentDeploy>;
      try {
        return c.json(await publish(dependencies, parts.tools, principal, deployment), 200);
      } catch (error) {
        throw deployFailure(error);
      }
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/api/agents/{name}",
      authorise: action("agents.read", ofProject),
      tags: ["Agents"],
      summary: "One agent with its manifest and versions",
      request: { params: z.object({ name: schemas.idText }) },
      responses: answers("An agent", schemas.agentDetail, 404),
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      const agent = await readAgent(db, c.var.principal, name);
      if (!agent) throw notFound("agent", name, "GET /api/agents lists them.");
      return c.json(agentDetailResource(agent), 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/api/runs",
      authorise: action("runs.read", ofProject),
      tags: ["Runs"],
      summary: "Runs, newest first",
      request: {
        query: schemas.runsQuery,
      },
      responses: answers("Runs, newest first", schemas.pageOf(schemas.run)),
    }),
    async (c) => {
      const query = c.req.valid("query");
      return c.json(page(await listRuns(db, c.var.principal, query), query.limit, runResource), 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/api/runs",
      authorise: action("runs.create", ofProject),
      tags: ["Runs"],
      summary: "Start a run",
      request: { headers: idempotencyHeader, body: body(schemas.runCreate) },
      responses: answers("The run", schemas.run, 400, 404, 409),
    }),
    async (c) => {
      const { principal } = c.var;
      const { agent: name, input } = c.req.valid("json") as z.infer<typeof schemas.runCreate>;
      const run = await createRun(dependencies, parts, principal, {
        name,
        input: input ?? null,
        idempotencyKey: c.req.valid("header")["idempotency-key"],
      });
      return c.json(runResource((await readRun(db, principal, run))!), 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/api/runs/{id}",
      authorise: action("runs.read", ofProject),
      tags: ["Runs"],
      summary: "One run with its steps",
      request: { params: idParam },
      responses: answers("A run with its steps and payloads", schemas.runDetail, 404),
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      await gateway.flushed();
      const run = await readRunDetail(db, c.var.principal, id);
      if (!run) throw notFound("run", id, "GET /api/runs lists them.");
      return c.json(runDetailResource(run), 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/api/runs/{id}/stop",
      authorise: action("runs.stop", ofProject),
      tags: ["Runs"],
      summary: "Stop a run",
      request: { params: idParam },
      responses: answers("The run, stopped, or as it had ended before", schemas.run, 404),
    }),
    async (c) => {
      const { principal } = c.var;
      const { id } = c.req.valid("param");
      if (!(await readRun(db, principal, id))) throw notFound("run", id, "GET /api/runs lists them.");
      if (await parts.runs.stop(principal.organisation, id, principal.key)) {
        parts.abort(id);
        parts.changed(principal, id);
      }
      return c.json(runResource((await readRun(db, principal, id))!), 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/api/runs/{id}/effects",
      authorise: action("effects.settle", settled),
      tags: ["Runs"],
      summary: "Say whether an effect happened whose end is not known; owners only",
      description:
        "A person's word on an effect whose end is not known; the run goes on. Owners only, and not with the key that started the run while there is another owner's. An outcome that rests on it is marked as attested, and fails unless the contract accepts that.",
      request: { params: idParam, body: body(effectResolution) },
      responses: answers("The run", schemas.run, 400, 404, 409),
    }),
    async (c) => {
      const { principal } = c.var;
      const { id } = c.req.valid("param");
      const { key, happened, result, note } = c.req.valid("json") as z.infer<typeof effectResolution>;
      const owner = { organisation: principal.organisation, project: principal.project, run: id };
      const word = { key, happened, result, note, author: principal.key };
      if (!(await parts.effects.resolve(owner, word)))
        throw new LineshaftError({
          code: "effect_not_unknown",
          message: `Run ${id} has no effect ${key} whose end is unknown.`,
          hint: "GET /api/runs/ID says what the run waits for.",
        });
      if (await parts.runs.resume(id)) await parts.send(id);
      parts.changed(principal, id);
      return c.json(runResource((await readRun(db, principal, id))!), 200);
    },
  );

  app.raw(
    createRoute({
      method: "get",
      path: "/api/schemas/agent.json",
      authorise: action("schemas.read", ofInstance),
      hide: true,
      responses: {},
    }),
    (c) => c.json(manifestJsonSchema()),
  );
  return app;
}

/** Makes a run of an agent's newest version and sends it on its way. Answers its id. */
async function createRun(
  { db }: Dependencies,
  parts: AgentParts,
  principal: Viewer & { key: string },
  request: { name: string; input: unknown; idempotencyKey: string | undefined },
): Promise<string> {
  const found = await newestVersion(db, principal.project, request.name);
  if (!found) throw notFound("agent", request.name, "Deploy it first: lineshaft deploy DIR.");
  await checkInput(principal.organisation, found.published.manifest.input, request.input);
  const { id, created, sameRequest } = await parts.runs.create({
    organisation: principal.organisation,
    project: principal.project,
    agent: found.agent,
    version: found.version,
    key: principal.key,
    idempotencyKey: request.idempotencyKey,
    input: request.input,
  });
  if (!sameRequest)
    throw idempotencyMismatch(
      "This Idempotency-Key was used for a run of another agent or with another input.",
      "Use a new key for a new run.",
    );
  if (!created) return id;
  parts.changed(principal, id);
  void parts.send(id);
  return id;
}

async function checkInput(
  organisation: string,
  schema: Record<string, unknown> | undefined,
  input: unknown,
): Promise<void> {
  const size = Buffer.byteLength(JSON.stringify(input));
  const problem =
    size > limits.inputBytes
      ? `it is ${size} bytes, more than ${limits.inputBytes}`
      : schema && (await checksOf(organisation)(schema, input));
  if (problem)
    throw new LineshaftError({
      code: "input_invalid",
      message: `The input does not fit the agent: ${problem}.`,
      param: "input",
      hint: "GET /api/agents/NAME shows the schema of its input.",
    });
}

/** A deployment that failed at a tool's server says what to do about it. */
function deployFailure(error: unknown): unknown {
  if (!(error instanceof StepError)) return error;
  return new LineshaftError({
    code: error.code,
    message: error.message,
    hint: "Start the MCP server, or correct its url and secret in the manifest; then deploy again.",
    cause: error,
  });
}
