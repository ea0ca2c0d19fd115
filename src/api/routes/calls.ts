// Calls: newest first, by cursor; one call with its attempts, phases and decisions. Members see those of their project.
import { createRoute, z } from "@hono/zod-openapi";
import type { ServerDependencies } from "../dependencies.ts";
import { reachOf } from "../../governance/index.ts";
import { action, apiApp, ofProject } from "../apiApp.ts";
import { answers, notFound, page } from "../helpers.ts";
import { call, callDetail, callStatus, idText, pageFields, pageOf, strict } from "../../contract/index.ts";
import type { AttemptResource, Call } from "../../contract/index.ts";

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
  request: { params: z.object({ id: idText.describe("Id, or the beginning of one that is unique") }) },
  responses: answers("The call", callDetail, 404),
});

interface CallRow {
  [column: string]: unknown;
  id: string;
  endpoint: "chat" | "completions";
  model: string;
  stream: boolean;
  status: Call["status"];
  error_code: string | null;
  finish_reason: string | null;
  key: string | null;
  agent: string | null;
  run: string | null;
  program: string | null;
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  price_nano: bigint;
  currency: string;
  started_at: Date;
  first_token_ms: number | null;
  duration_ms: number;
}

interface AttemptRow {
  [column: string]: unknown;
  id: string;
  number: number;
  engine: string;
  status: AttemptResource["status"];
  error_code: string | null;
  decision: AttemptResource["decision"];
  cached_by_tier: Record<string, number> | null;
  timings: AttemptResource["phases"];
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  price_nano: bigint;
  claimed_prompt_tokens: bigint | null;
  claimed_output_tokens: bigint | null;
  suspense_nano: bigint;
}

const columns = `c.id, c.endpoint, c.model, c.stream, c.status, c.error_code, c.finish_reason, c.key,
  coalesce(a.name, c.agent) as agent, c.run, c.program, c.prompt_tokens, c.cached_tokens, c.output_tokens, c.price_nano,
  c.currency, c.started_at, c.first_token_ms, c.duration_ms`;

export function callRoutes({ db, gateway }: ServerDependencies) {
  return apiApp()
    .openapi(list, async (c) => {
      const query = c.req.valid("query");
      await gateway.flushed();
      const { rows } = await db.query<CallRow>(
        `select ${columns} from calls c left join agents a on a.id = c.agent
         where c.organisation = $1 and ($2::text is null or c.project = $2)
           and ($3::text is null or c.id < $3) and ($4::text is null or c.status = $4) and ($5::text is null or c.model = $5)
           and ($6::text is null or c.run = $6) and ($7::text is null or c.agent = $7 or a.name = $7)
         order by c.id desc limit $8`,
        [
          ...reachOf(c.var.principal, "calls.read"),
          ...[query.cursor, query.status, query.model, query.run, query.agent].map((value) => value ?? null),
          query.limit + 1,
        ],
      );
      return c.json(page(rows, query.limit, callResource), 200);
    })
    .openapi(read, async (c) => {
      const { id } = c.req.valid("param");
      await gateway.flushed();
      const { rows } = await db.query<CallRow>(
        `select ${columns} from calls c left join agents a on a.id = c.agent
         where c.organisation = $1 and ($2::text is null or c.project = $2) and c.id >= $3 and c.id < $3 || '~' order by c.id limit 2`,
        [...reachOf(c.var.principal, "calls.read"), id],
      );
      const found = rows.find((row) => row.id === id) ?? (rows.length === 1 && id.length > 6 ? rows[0] : undefined);
      if (!found)
        throw notFound(
          "call",
          id,
          rows.length > 1 ? "More than one begins like this: give more of it." : "GET /api/calls lists them.",
        );
      const attempts = await db.query<AttemptRow>("select * from attempts where call = $1 order by number", [found.id]);
      return c.json({ ...callResource(found), attempts: attempts.rows.map(attemptResource) }, 200);
    });
}

function callResource(row: CallRow): Call {
  return {
    ...row,
    prompt_tokens: Number(row.prompt_tokens),
    cached_tokens: Number(row.cached_tokens),
    output_tokens: Number(row.output_tokens),
    price_nano: row.price_nano.toString(),
    started_at: row.started_at.toISOString(),
  };
}

function attemptResource({ timings, ...row }: AttemptRow): AttemptResource {
  return {
    id: row.id,
    number: row.number,
    engine: row.engine,
    status: row.status,
    error_code: row.error_code,
    decision: row.decision,
    cached_by_tier: row.cached_by_tier,
    phases: timings,
    prompt_tokens: Number(row.prompt_tokens),
    cached_tokens: Number(row.cached_tokens),
    output_tokens: Number(row.output_tokens),
    price_nano: row.price_nano.toString(),
    claimed_prompt_tokens: row.claimed_prompt_tokens === null ? null : Number(row.claimed_prompt_tokens),
    claimed_output_tokens: row.claimed_output_tokens === null ? null : Number(row.claimed_output_tokens),
    suspense_nano: row.suspense_nano.toString(),
  };
}
