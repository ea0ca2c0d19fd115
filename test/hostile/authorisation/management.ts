// What every route of the management API, of metrics and of health answers to every kind of caller.
import { everybody, ofAll, type Five, type Row } from "./row.ts";

/** What only owners of the organisation may do. */
const ownersOnly: Five = ["200", "403 owner_only", "200", "403 owner_only", "200"];

export const management: Row[] = [
  {
    route: "GET /api/status",
    shows: () => '"code":"test"',
    before: (world) => world.spareAlarm(),
    answers: ["200 shows it", "200", "200 shows it", "200", "200"],
  },
  {
    route: "GET /api/alarms",
    shows: () => '"code":"test"',
    before: (world) => world.spareAlarm(),
    answers: ["200 shows it", "403 owner_only", "200 shows it", "403 owner_only", "200"],
  },
  {
    route: "DELETE /api/alarms/{id}",
    path: (world) => `/api/alarms/${encodeURIComponent(world.at.alarms.list(world.at.principal.organisation)[0]!.id)}`,
    before: (world) => world.spareAlarm(),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "404 not_found"],
  },
  {
    route: "GET /api/engines",
    shows: () => '"name":"ours"',
    answers: ["200 shows it", "200 shows it", "200 shows it", "200 shows it", "200"],
  },
  {
    route: "POST /api/engines",
    body: (caller, world) => ({
      name: `engine-${caller}`,
      urls: [world.at.engine.url],
      model: "scripted",
      price: { currency: "USD", input_nano_per_million: "1", output_nano_per_million: "1" },
    }),
    answers: ownersOnly,
  },
  {
    route: "DELETE /api/engines/{name}",
    path: () => "/api/engines/going",
    before: ({ at }) =>
      at.db.query(
        `insert into engines (name, organisation, kind, urls, model, allow_fields)
         values ('going', $1, 'openai', '{http://inside.example:8000/v1}', 'm', '{}') on conflict do nothing`,
        [at.principal.organisation],
      ),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "404 not_found"],
  },
  {
    route: "GET /api/prices",
    shows: () => '"model":"scripted"',
    answers: ["200 shows it", "200 shows it", "200 shows it", "200 shows it", "200"],
  },
  {
    route: "PUT /api/prices",
    body: (caller) => ({
      model: `priced-${caller}`,
      currency: "USD",
      input_nano_per_million: "1",
      output_nano_per_million: "1",
    }),
    answers: ownersOnly,
  },
  {
    route: "POST /api/prices/explain",
    body: () => ({ model: "scripted", prompt_tokens: 1 }),
    answers: ["200", "200", "200", "200", "403 model_unpriced"],
  },
  {
    route: "GET /api/prices/unknown",
    answers: ofAll("200"),
  },
  {
    route: "PUT /api/prices/unknown",
    body: () => ({ rule: "refuse" }),
    answers: ownersOnly,
  },
  {
    route: "GET /api/keys",
    shows: ({ ids }) => ids.key,
    answers: ["200 shows it", "403 owner_only", "200 shows it", "403 owner_only", "200"],
  },
  {
    route: "POST /api/keys",
    body: () => ({ name: "made" }),
    answers: ownersOnly,
  },
  {
    route: "DELETE /api/keys/{id}",
    path: (world) => `/api/keys/${world.ids.key}`,
    answers: ["200", "403 owner_only", "200", "403 owner_only", "404 not_found"],
  },
  { route: "DELETE /api/kv-cache", answers: ownersOnly },
  {
    route: "GET /api/budgets",
    shows: () => "agt_ours",
    answers: ["200 shows it", "200 shows it", "200 shows it", "200", "200"],
  },
  {
    route: "PUT /api/budgets",
    body: () => ({ scope: { kind: "agent", id: "agt_ours" }, limit_nano: "1000000000000" }),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "404 not_found"],
  },
  {
    route: "DELETE /api/budgets/{id}",
    path: (world) => `/api/budgets/${world.ids.budget}`,
    before: (world) => world.spareBudget(),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "404 not_found"],
  },
  {
    route: "GET /api/limits",
    shows: ({ ids }) => ids.limit,
    before: (world) => world.spareLimit(),
    answers: ["200 shows it", "200 shows it", "200 shows it", "200", "200"],
  },
  {
    route: "PUT /api/limits",
    body: (_caller, { at }) => ({
      scope: { kind: "project", id: at.principal.project, model: "spare" },
      dimension: "requests_per_minute",
      amount: 1_000_000,
    }),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "404 not_found"],
  },
  {
    route: "DELETE /api/limits/{id}",
    path: (world) => `/api/limits/${world.ids.limit}`,
    before: (world) => world.spareLimit(),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "404 not_found"],
  },
  {
    route: "GET /api/routes",
    shows: () => '"model":"spare-route"',
    before: (world) => world.spareRoute(),
    answers: ["200 shows it", "200 shows it", "200 shows it", "200 shows it", "200"],
  },
  {
    route: "PUT /api/routes",
    body: (caller) => ({ model: `routed-${caller}`, serves: "scripted" }),
    answers: ownersOnly,
  },
  {
    route: "DELETE /api/routes/{model}",
    path: () => "/api/routes/spare-route",
    before: (world) => world.spareRoute(),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "404 not_found"],
  },
  {
    route: "GET /api/calls",
    shows: ({ ids }) => ids.call,
    answers: ["200 shows it", "200 shows it", "200 shows it", "200", "200"],
  },
  {
    route: "GET /api/calls/{id}",
    path: (world) => `/api/calls/${world.ids.call}`,
    shows: ({ ids }) => ids.call,
    answers: ["200 shows it", "200 shows it", "200 shows it", "404 not_found", "404 not_found"],
  },
  {
    route: "GET /api/overview",
    shows: () => '"calls":{"total":1,',
    answers: ["200 shows it", "200 shows it", "200 shows it", "200", "200"],
  },
  {
    route: "GET /api/bill",
    shows: () => '"calls":1,',
    answers: ["200 shows it", "200 shows it", "200 shows it", "200", "200"],
  },
  { route: "GET /api/proofs", answers: ownersOnly },
  {
    route: "POST /api/proofs",
    body: () => ({ kind: "incremental" }),
    answers: ownersOnly,
  },
  { route: "GET /api/events", answers: ofAll("200") },
  {
    route: "GET /api/search",
    path: () => "/api/search?q=inspector",
    shows: () => "agt_ours",
    answers: ["200 shows it", "200 shows it", "200 shows it", "200", "200"],
  },
  {
    route: "GET /api/scheduler",
    shows: () => '"endpoint":"scripted"',
    answers: ofAll("200 shows it"),
  },
  { route: "GET /api/agents", shows: () => "agt_ours", answers: ["200 shows it", "200 shows it", "200", "200", "200"] },
  {
    route: "POST /api/agents",
    body: (caller) => ({
      manifest: { kind: "Agent", name: `of-${caller.toLowerCase()}`, instructions: "Look." },
    }),
    answers: ownersOnly,
  },
  {
    route: "GET /api/agents/{name}",
    path: () => "/api/agents/inspector",
    shows: () => "agt_ours",
    answers: ["200 shows it", "200 shows it", "404 not_found", "404 not_found", "404 not_found"],
  },
  { route: "GET /api/runs", shows: () => "run_ours", answers: ["200 shows it", "200 shows it", "200", "200", "200"] },
  {
    route: "POST /api/runs",
    body: () => ({ agent: "inspector", input: {} }),
    answers: ["200", "200", "404 not_found", "404 not_found", "404 not_found"],
  },
  {
    route: "GET /api/runs/{id}",
    path: () => "/api/runs/run_ours",
    shows: () => "run_ours",
    answers: ["200 shows it", "200 shows it", "404 not_found", "404 not_found", "404 not_found"],
  },
  {
    route: "POST /api/runs/{id}/effects",
    path: () => "/api/runs/run_ours/effects",
    body: () => ({ key: "effect", happened: true, note: "Seen." }),
    before: (world) => world.unknownEffect("effect", "run_ours"),
    answers: ["200", "403 owner_only", "404 not_found", "404 not_found", "404 not_found"],
  },
  {
    route: "POST /api/runs/{id}/stop",
    path: () => "/api/runs/run_ours/stop",
    answers: ["200", "200", "404 not_found", "404 not_found", "404 not_found"],
  },
  { route: "GET /api/schemas/agent.json", answers: ofAll("200") },
  {
    route: "GET /api/secrets",
    shows: () => '"name":"ours"',
    before: (world) => world.spareSecret(),
    answers: ["200 shows it", "403 owner_only", "200 shows it", "403 owner_only", "200"],
  },
  {
    route: "PUT /api/secrets/{name}",
    path: () => "/api/secrets/set",
    body: () => ({ value: "long-enough-for-a-secret", hosts: ["example.org"] }),
    answers: ownersOnly,
  },
  {
    route: "DELETE /api/secrets/{name}",
    path: (world) => `/api/secrets/ours?project=${world.at.principal.project}`,
    before: (world) => world.spareSecret(),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "404 not_found"],
  },
  {
    route: "POST /api/maintenance/resume",
    body: () => ({}),
    answers: ownersOnly,
  },
  { route: "POST /api/maintenance/rebuild", answers: ownersOnly },
  {
    route: "GET /api/deployments",
    shows: () => '"name":"small"',
    answers: ofAll("200 shows it"),
  },
  {
    route: "GET /api/deployments/{name}",
    path: () => "/api/deployments/small",
    answers: ofAll("200"),
  },
  {
    route: "PUT /api/deployments/{name}",
    path: () => "/api/deployments/small",
    body: () => ({ manifest: { kind: "Deployment", name: "small", model: "m" } }),
    answers: ownersOnly,
  },
  {
    route: "DELETE /api/deployments/{name}",
    path: () => "/api/deployments/small",
    answers: ownersOnly,
  },
  { route: "GET /api/openapi.json", answers: everybody },
  { route: "GET /api/docs", answers: everybody },
  {
    route: "GET /api/none",
    answers: ofAll("404 route_not_found"),
  },
  { route: "GET /metrics", answers: ownersOnly },
  { route: "GET /healthz", answers: everybody },
];
