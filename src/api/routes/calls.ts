// Calls: newest first, by cursor; one call with its attempts, phases and decisions. Members see those of their project.
import { createRoute, z } from "@hono/zod-openapi";
import type { ServerDependencies } from "../dependencies.ts";
import { reachOf, type Reach } from "../../governance/index.ts";
import { action, apiApp, ofProject } from "../apiApp.ts";
import { answers, notFound, page } from "../helpers.ts";
import { agentNames, findAgents } from "../../agents/index.ts";
import { afterFields, call, callDetail, callStatus, idText, pageFields, pageOf, strict } from "../../contract/index.ts";
import { attemptsOfCall, callsBeginning, listCalls, type CallRecord } from "../../gateway/index.ts";
import type { Database } from "../../store/index.ts";
import { attemptResource, callResource } from "../resources/call.ts";

const tags = ["Calls"];
const list = createRoute({
  method: "get",
  path: "/api/calls",
  authorise: action("calls.read", ofProject),
  tags,
  summary: "Calls, newest first",
  request: {
    query: strict({
      ...pageFields,
      status: callStatus.optional(),
      model: idText.optional(),
      run: idText.optional(),
      agent: idText.optional().describe("Name or id"),
      batch: idText.optional(),
    }),
  },
  responses: answers("A page of calls", pageOf(call), 400),
});
const read = createRoute({
  method: "get",
  path: "/api/calls/{id}",
  authorise: action("calls.read", ofProject),
  tags,
  summary: "One call with its attempts",
  request: {
    query: strict(afterFields),
    params: z.object({ id: idText.describe("Id, or the beginning of one that is unique") }),
  },
  responses: answers("The call", callDetail, 404),
});

export function callRoutes({ db, gateway }: ServerDependencies) {
  return apiApp()
    .openapi(list, async (c) => {
      const { limit, agent, after: _waitedFor, ...filter } = c.req.valid("query");
      const reach = reachOf(c.var.principal, "calls.read");
      await gateway.flushed();
      const agents = agent === undefined ? undefined : [agent, ...(await findAgents(db, reach, agent))];
      const calls = await listCalls(db, reach, { ...filter, agents }, limit + 1);
      const names = await namesOfAgents(db, reach, calls);
      return c.json(
        page(calls, limit, (one) => callResource(one, names(one))),
        200,
      );
    })
    .openapi(read, async (c) => {
      const { id } = c.req.valid("param");
      const reach = reachOf(c.var.principal, "calls.read");
      await gateway.flushed();
      const calls = await callsBeginning(db, reach, id, { limit: 2 });
      const found = calls.find((one) => one.id === id) ?? (calls.length === 1 && id.length > 6 ? calls[0] : undefined);
      if (!found)
        throw notFound(
          "call",
          id,
          calls.length > 1 ? "More than one begins like this: give more of it." : "GET /api/calls lists them.",
        );
      const [names, attempts] = await Promise.all([namesOfAgents(db, reach, [found]), attemptsOfCall(db, found.id)]);
      return c.json({ ...callResource(found, names(found)), attempts: attempts.map(attemptResource) }, 200);
    });
}

/** The name of a call's agent, for the calls given. */
async function namesOfAgents(
  db: Database,
  [organisation]: Reach,
  calls: CallRecord[],
): Promise<(call: CallRecord) => string | undefined> {
  const ids = new Set(calls.flatMap(({ agent }) => agent ?? []));
  const names = ids.size === 0 ? undefined : await agentNames(db, organisation, [...ids]);
  return ({ agent }) => (agent === undefined ? undefined : names?.get(agent));
}
