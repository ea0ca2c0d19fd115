// What the fixture server answers under /api, one handler for each method and resource. A handler gives the schema of its answer, by
// which the server checks it before it is sent.
import { z } from "zod";
import * as schemas from "../../contract/index.ts";
import type { LiveEvent } from "../../contract/index.ts";
import { newId } from "../../store/ids.ts";
import type { Fixture } from "./fixture.ts";
import { countRuns } from "./fixtureAgents.ts";
import { billOf, overviewOf, proofsOf } from "./fixtureSums.ts";
import { currency, day } from "./fixtureWords.ts";
import { found, page } from "./serverAnswers.ts";

interface Asked {
  fixture: Fixture;
  query: URLSearchParams;
  /** Id or name after the resource in the path, where there is one. */
  name: string | undefined;
  /** What follows the id: `stop`. */
  verb: string | undefined;
  body(): Promise<Record<string, unknown>>;
  emit(event: LiveEvent): void;
}

/** Undefined: done, without a body (204). */
type Answered = { schema: z.ZodType; value: unknown; status?: number } | undefined;
type Handler = (asked: Asked) => Answered | Promise<Answered>;

const whole = (schema: z.ZodType, data: unknown[]): Answered => ({
  schema: schemas.pageOf(schema),
  value: { data, next_cursor: null },
});
const named = <T extends { id: string }>(rows: T[], kind: string, id: string): T =>
  found(
    rows.find((row) => row.id === id),
    kind,
    id,
  );
/** Rows whose fields have the values that the query gives for them. */
const filtered = <T>(rows: T[], query: URLSearchParams, fields: (keyof T & string)[]): T[] =>
  rows.filter((row) => fields.every((field) => !query.has(field) || query.get(field) === row[field]));

export const routes: Record<string, Handler> = {
  "GET status": ({ fixture }) => ({ schema: schemas.status, value: fixture.status }),
  "GET overview": ({ fixture, query }) => ({
    schema: schemas.overview,
    value: overviewOf(fixture, query.get("range") ?? "24h", Date.now()),
  }),
  "GET bill": ({ fixture, query }) => ({
    schema: schemas.bill,
    value: billOf(
      fixture,
      Date.parse(query.get("from") ?? "") || fixture.now - 40 * day,
      Date.parse(query.get("to") ?? "") || Date.now(),
    ),
  }),
  "GET proofs": ({ fixture }) => ({ schema: schemas.proofs, value: proofsOf(fixture, Date.now()) }),
  "GET calls": ({ fixture, query, name }) => {
    if (name !== undefined) return { schema: schemas.callDetail, value: named(fixture.calls, "call", name) };
    const rows = filtered(fixture.calls, query, ["status", "model", "run", "agent"]);
    return { schema: schemas.pageOf(schemas.call), value: page(rows, query) };
  },
  "GET runs": ({ fixture, query, name }) => {
    if (name !== undefined) return { schema: schemas.runDetail, value: named(fixture.runs, "run", name) };
    const rows = filtered(fixture.runs, query, ["status", "agent"]);
    return { schema: schemas.pageOf(schemas.run), value: page(rows, query) };
  },
  "POST runs": (asked) => (asked.verb === "stop" ? stopRun(asked) : startRun(asked)),
  "GET agents": ({ fixture, name }) => {
    for (const agent of fixture.agents) countRuns(agent, fixture.runs);
    if (name === undefined) return whole(schemas.agentSummary, fixture.agents);
    const agent = fixture.agents.find((each) => each.name === name);
    return { schema: schemas.agentDetail, value: found(agent, "agent", name) };
  },
  "GET search": search,
  "GET engines": ({ fixture }) => whole(schemas.engine, fixture.engines),
  "GET keys": ({ fixture }) => whole(schemas.key, fixture.keys),
  "POST keys": createKey,
  "DELETE keys": ({ fixture, name }) => {
    const key = named(fixture.keys, "key", name!);
    key.revoked_at = new Date().toISOString();
    return { schema: schemas.key, value: key };
  },
  "GET budgets": ({ fixture, query }) => {
    const kinds = query.get("scope")?.split(",");
    const rows = fixture.budgets.filter(({ scope }) => kinds === undefined || kinds.includes(scope.kind));
    return { schema: schemas.pageOf(schemas.budget), value: page(rows, query) };
  },
  "PUT budgets": setBudget,
  "DELETE budgets": ({ fixture, name }) => {
    fixture.budgets = fixture.budgets.filter((each) => each.id !== name);
    return undefined;
  },
  "GET batches": ({ fixture, query, name }) => {
    if (name !== undefined) return { schema: schemas.batch, value: named(fixture.batches, "batch", name) };
    return { schema: schemas.pageOf(schemas.batch), value: page(filtered(fixture.batches, query, ["status"]), query) };
  },
  "POST batches": ({ fixture, name, emit }) => {
    const batch = named(fixture.batches, "batch", name!);
    batch.status = "cancelling";
    emit({ type: "batch", batch: { id: batch.id, status: batch.status } });
    return { schema: z.looseObject({ id: z.string() }), value: { id: batch.id, status: batch.status } };
  },
  "GET files": ({ name }) => ({ schema: z.object({ file: z.string() }), value: { file: name } }),
  "GET routes": ({ fixture }) => whole(schemas.modelRoute, fixture.routes),
  "PUT routes": setRoute,
  "DELETE routes": ({ fixture, name }) => {
    fixture.routes = fixture.routes.filter(({ model }) => model !== name);
    return {
      schema: z.object({ model: z.string(), deleted: z.literal(true) }),
      value: { model: name, deleted: true },
    };
  },
  "GET limits": ({ fixture, query }) => ({ schema: schemas.pageOf(schemas.limit), value: page(fixture.limits, query) }),
  "PUT limits": setLimit,
  "DELETE limits": ({ fixture, name }) => {
    fixture.limits = fixture.limits.filter((each) => each.id !== name);
    return { schema: z.object({ id: z.string(), deleted: z.literal(true) }), value: { id: name, deleted: true } };
  },
  "DELETE alarms": ({ fixture, name }) => {
    fixture.status.alarms = fixture.status.alarms.filter((each) => each.id !== name);
    return undefined;
  },
};

function stopRun({ fixture, name, emit }: Asked): Answered {
  const run = named(fixture.runs, "run", name!);
  Object.assign(run, {
    status: "stopped",
    error_code: "stopped",
    error_message: "Stopped by key first owner.",
    ended_at: new Date().toISOString(),
  });
  emit({ type: "run", run: schemas.run.parse(run) });
  return { schema: schemas.run, value: run };
}

async function startRun({ fixture, body, emit }: Asked): Promise<Answered> {
  const wish = schemas.runCreate.parse(await body());
  const template = found(
    fixture.runs.find((run) => run.agent === wish.agent && run.status === "completed"),
    "agent",
    wish.agent,
  );
  const run = {
    ...structuredClone(template),
    id: newId("run"),
    status: "queued" as const,
    input: wish.input,
    output: null,
    outcome: null,
    steps: 0,
    step_list: [],
    queued_ms: 0,
    waits: [],
    cost_nano: "0",
    prompt_tokens: 0,
    cached_tokens: 0,
    output_tokens: 0,
    created_at: new Date().toISOString(),
    started_at: null,
    ended_at: null,
  };
  fixture.runs.unshift(run);
  emit({ type: "run", run: schemas.run.parse(run) });
  return { schema: schemas.run, value: run, status: 201 };
}

function search({ fixture, query }: Asked): Answered {
  const text = query.get("q") ?? "";
  const agents = fixture.agents.filter((agent) => agent.name.includes(text));
  const runs = fixture.runs.filter((run) => run.id.startsWith(text));
  const calls = fixture.calls.filter((call) => call.id.startsWith(text));
  const data = [
    ...agents.map(({ id, name }) => ({ kind: "agent", id, name })),
    ...runs.map(({ id, agent }) => ({ kind: "run", id, name: agent })),
    ...calls.map(({ id, model }) => ({ kind: "call", id, name: model })),
  ];
  return { schema: schemas.searchResults, value: { data: data.slice(0, 20) } };
}

async function createKey({ fixture, body }: Asked): Promise<Answered> {
  const wish = schemas.keyCreate.parse(await body());
  const made = {
    id: newId("key"),
    ...wish,
    project: "default",
    created_at: new Date().toISOString(),
    revoked_at: null,
  };
  fixture.keys.unshift(made);
  const secret = `ls_${newId("key").slice(4)}${newId("key").slice(4)}`;
  return { schema: schemas.keyCreated, value: { ...made, secret }, status: 201 };
}

async function setBudget({ fixture, body }: Asked): Promise<Answered> {
  const wish = schemas.budgetSet.parse(await body());
  const old = fixture.budgets.find((each) => each.scope.kind === wish.scope.kind && each.scope.id === wish.scope.id);
  const set = {
    id: old?.id ?? newId("bud"),
    scope: { name: wish.scope.id, ...old?.scope, ...wish.scope },
    currency,
    period: wish.period,
    limit_nano: wish.limit_nano,
    spent_nano: old?.spent_nano ?? "0",
    leased_nano: "0",
    lost_nano: "0",
    left_nano: String(BigInt(wish.limit_nano) - BigInt(old?.spent_nano ?? 0)),
    pending: false,
    resets_at: null,
    ended_at: null,
  };
  fixture.budgets = [...fixture.budgets.filter((each) => each !== old), set];
  return { schema: schemas.budget, value: set };
}

async function setRoute({ fixture, body }: Asked): Promise<Answered> {
  const set = { ...schemas.modelRouteSet.parse(await body()), updated_at: new Date().toISOString() };
  const others = fixture.routes.filter(({ model }) => model !== set.model);
  fixture.routes = [...others, set].toSorted((a, b) => (a.model < b.model ? -1 : 1));
  return { schema: schemas.modelRoute, value: set };
}

async function setLimit({ fixture, body }: Asked): Promise<Answered> {
  const { scope, dimension, amount } = schemas.limitSet.parse(await body());
  const model = scope.model ?? null;
  const old = fixture.limits.find(
    (each) => each.scope.id === scope.id && each.scope.model === model && each.dimension === dimension,
  );
  const set = {
    id: old?.id ?? newId("lim"),
    scope: { name: scope.id, ...old?.scope, kind: scope.kind, id: scope.id, model },
    dimension,
    amount,
    used: old?.used ?? 0,
  };
  fixture.limits = [...fixture.limits.filter((each) => each !== old), set];
  return { schema: schemas.limit, value: set };
}
