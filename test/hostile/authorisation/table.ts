// What every route answers to every kind of caller.
import { hello } from "../../../src/api/testing.ts";
import type { Caller, World } from "./world.ts";

export type Five = [owner: string, member: string, otherOwner: string, otherMember: string, stranger: string];
/** The same to every kind of caller. */
const ofAll = (answer: string): Five => [answer, answer, answer, answer, answer];
/** Public: with a key, without one, and with one that was revoked. */
export const everybody = "200";

export interface Row {
  route: string;
  /** Address where it is not the route itself. */
  path?: (world: World) => string;
  body?: (caller: Caller, world: World) => unknown;
  /** What an answer holds that shows the thing. */
  shows?: (world: World) => string;
  before?: (world: World) => unknown;
  /** What is answered to owner, member, owner and member of another project, and the owner of another organisation. */
  answers: Five | typeof everybody;
}

export const table: Row[] = [
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
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
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
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
  },
  {
    route: "POST /api/prices/explain",
    body: () => ({ model: "scripted", prompt_tokens: 1 }),
    answers: ["200", "200", "200", "200", "403 model_unpriced"],
  },
  {
    route: "GET /api/prices/unknown",
    answers: ["200", "200", "200", "200", "200"],
  },
  {
    route: "PUT /api/prices/unknown",
    body: () => ({ rule: "refuse" }),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
  },
  {
    route: "GET /api/keys",
    shows: ({ ids }) => ids.key,
    answers: ["200 shows it", "403 owner_only", "200 shows it", "403 owner_only", "200"],
  },
  {
    route: "POST /api/keys",
    body: () => ({ name: "made" }),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
  },
  {
    route: "DELETE /api/keys/{id}",
    path: (world) => `/api/keys/${world.ids.key}`,
    answers: ["200", "403 owner_only", "200", "403 owner_only", "404 not_found"],
  },
  { route: "DELETE /api/kv-cache", answers: ["200", "403 owner_only", "200", "403 owner_only", "200"] },
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
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
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
  { route: "GET /api/proofs", answers: ["200", "403 owner_only", "200", "403 owner_only", "200"] },
  {
    route: "POST /api/proofs",
    body: () => ({ kind: "incremental" }),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
  },
  { route: "GET /api/events", answers: ["200", "200", "200", "200", "200"] },
  {
    route: "GET /api/search",
    path: () => "/api/search?q=inspector",
    shows: () => "agt_ours",
    answers: ["200 shows it", "200 shows it", "200 shows it", "200", "200"],
  },
  {
    route: "GET /api/scheduler",
    shows: () => '"endpoint":"scripted"',
    answers: ["200 shows it", "200 shows it", "200 shows it", "200 shows it", "200 shows it"],
  },
  { route: "GET /api/agents", shows: () => "agt_ours", answers: ["200 shows it", "200 shows it", "200", "200", "200"] },
  {
    route: "POST /api/agents",
    body: (caller) => ({
      manifest: { kind: "Agent", name: `of-${caller.toLowerCase()}`, instructions: "Look." },
    }),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
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
  { route: "GET /api/schemas/agent.json", answers: ["200", "200", "200", "200", "200"] },
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
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
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
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
  },
  { route: "POST /api/maintenance/rebuild", answers: ["200", "403 owner_only", "200", "403 owner_only", "200"] },
  {
    route: "GET /api/deployments",
    shows: () => '"name":"small"',
    answers: ["200 shows it", "200 shows it", "200 shows it", "200 shows it", "200 shows it"],
  },
  {
    route: "GET /api/deployments/{name}",
    path: () => "/api/deployments/small",
    answers: ["200", "200", "200", "200", "200"],
  },
  {
    route: "PUT /api/deployments/{name}",
    path: () => "/api/deployments/small",
    body: () => ({ manifest: { kind: "Deployment", name: "small", model: "m" } }),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
  },
  {
    route: "DELETE /api/deployments/{name}",
    path: () => "/api/deployments/small",
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
  },
  { route: "GET /api/openapi.json", answers: everybody },
  { route: "GET /api/docs", answers: everybody },
  {
    route: "GET /api/none",
    answers: [
      "404 route_not_found",
      "404 route_not_found",
      "404 route_not_found",
      "404 route_not_found",
      "404 route_not_found",
    ],
  },
  { route: "GET /metrics", answers: ["200", "403 owner_only", "200", "403 owner_only", "200"] },
  { route: "GET /healthz", answers: everybody },
  {
    route: "GET /v1/models",
    shows: () => '"id":"scripted"',
    answers: ["200 shows it", "200 shows it", "200 shows it", "200 shows it", "200 shows it"],
  },
  { route: "GET /v1/models/{model}", path: () => "/v1/models/scripted", answers: ["200", "200", "200", "200", "200"] },
  {
    route: "POST /v1/chat/completions",
    body: () => hello,
    answers: ["200", "200", "200", "200", "403 model_unpriced"],
  },
  {
    route: "POST /v1/completions",
    body: () => ({ model: "scripted", prompt: "hi" }),
    answers: ["200", "200", "200", "200", "403 model_unpriced"],
  },
  ...["/v1/embeddings", "/v1/rerank", "/rerank", "/v2/rerank"].map((path): Row => ({
    route: `POST ${path}`,
    body: () => ({
      model: "scripted",
      ...(path === "/v1/embeddings" ? { input: "hi" } : { query: "hi", documents: ["hi"] }),
    }),
    // The scripted model makes no embeddings and ranks nothing.
    answers: [
      "400 api_not_spoken",
      "400 api_not_spoken",
      "400 api_not_spoken",
      "400 api_not_spoken",
      "403 model_unpriced",
    ],
  })),
  {
    route: "POST /v1/responses",
    body: () => ({ model: "scripted", input: "hi" }),
    answers: ["200", "200", "200", "200", "403 model_unpriced"],
  },
  {
    route: "POST /v1/messages",
    body: () => ({ ...hello, max_tokens: 20 }),
    answers: ["200", "200", "200", "200", "403 model_unpriced"],
  },
  { route: "POST /v1/messages/count_tokens", body: () => hello, answers: ["200", "200", "200", "200", "200"] },
  { route: "GET /api/response-storage", answers: ["200", "200", "200", "200", "200"] },
  {
    route: "PUT /api/response-storage",
    body: () => ({ retention_days: 30 }),
    answers: ["200", "403 owner_only", "200", "403 owner_only", "200"],
  },
  {
    route: "POST /v1/responses/compact",
    body: () => ({ model: "scripted", input: "hi" }),
    answers: ["200", "200", "200", "200", "403 model_unpriced"],
  },
  ...["/v1beta", "/v1"].flatMap((root) => [
    ...["embedContent", "batchEmbedContents"].map((verb): Row => ({
      route: `POST ${root}/models/{model}:${verb}`,
      path: () => `${root}/models/scripted:${verb}`,
      body: () =>
        verb === "embedContent"
          ? { content: { parts: [{ text: "hi" }] } }
          : { requests: [{ model: "models/scripted", content: { parts: [{ text: "hi" }] } }] },
      // The scripted model makes no embeddings and ranks nothing.
      answers: [
        "400 api_not_spoken",
        "400 api_not_spoken",
        "400 api_not_spoken",
        "400 api_not_spoken",
        "403 model_unpriced",
      ],
    })),
    ...["generateContent", "streamGenerateContent"].map((verb): Row => ({
      route: `POST ${root}/models/{model}:${verb}`,
      path: () => `${root}/models/scripted:${verb}?alt=sse`,
      body: () => ({ contents: [{ parts: [{ text: "hi" }] }] }),
      answers: ["200", "200", "200", "200", "403 model_unpriced"],
    })),
    {
      route: `POST ${root}/models/{model}:countTokens`,
      path: () => `${root}/models/scripted:countTokens`,
      body: () => ({ contents: [{ parts: [{ text: "hi" }] }] }),
      answers: ["200", "200", "200", "200", "200"],
    } satisfies Row,
  ]),
  {
    route: "GET /v1beta/models",
    shows: () => '"name":"models/scripted"',
    answers: ["200 shows it", "200 shows it", "200 shows it", "200 shows it", "200 shows it"],
  },
  {
    route: "GET /v1beta/models/{model}",
    path: () => "/v1beta/models/scripted",
    answers: ["200", "200", "200", "200", "200"],
  },
  // A JSON body is no form.
  { route: "POST /v1/files", body: () => ({}), answers: ofAll("400 form_invalid") },
  { route: "GET /v1/files", answers: ofAll("200") },
  { route: "GET /v1/files/{file}", path: () => "/v1/files/file_none", answers: ofAll("404 not_found") },
  { route: "GET /v1/files/{file}/content", path: () => "/v1/files/file_none/content", answers: ofAll("404 not_found") },
  { route: "DELETE /v1/files/{file}", path: () => "/v1/files/file_none", answers: ofAll("404 not_found") },
  {
    route: "POST /v1/batches",
    body: () => ({ input_file_id: "file_none", endpoint: "/v1/embeddings", completion_window: "24h" }),
    answers: ofAll("404 not_found"),
  },
  { route: "GET /v1/batches", answers: ofAll("200") },
  { route: "GET /v1/batches/{batch}", path: () => "/v1/batches/batch_none", answers: ofAll("404 not_found") },
  {
    route: "POST /v1/batches/{batch}/cancel",
    path: () => "/v1/batches/batch_none/cancel",
    answers: ofAll("404 not_found"),
  },
  { route: "GET /api/batches", answers: ofAll("200") },
  { route: "GET /api/batches/{id}", path: () => "/api/batches/batch_none", answers: ofAll("404 not_found") },
  { route: "POST /v1/messages/batches", body: () => ({ requests: [] }), answers: ofAll("400 invalid_value") },
  { route: "GET /v1/messages/batches", answers: ofAll("200") },
  ...(
    [
      ["GET", ""],
      ["DELETE", ""],
      ["POST", "/cancel"],
      ["GET", "/results"],
    ] as const
  ).map(([method, verb]): Row => ({
    route: `${method} /v1/messages/batches/{batch}${verb}`,
    path: () => `/v1/messages/batches/msgbatch_none${verb}`,
    answers: ofAll("404 not_found"),
  })),
  {
    route: "POST /v1/responses/input_tokens",
    body: () => ({ model: "scripted", input: "hi" }),
    answers: ["200", "200", "200", "200", "200"],
  },
  {
    route: "GET /v1/responses/{response}",
    path: () => "/v1/responses/resp_none",
    answers: [
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
    ],
  },
  {
    route: "DELETE /v1/responses/{response}",
    path: () => "/v1/responses/resp_none",
    answers: [
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
    ],
  },
  {
    route: "POST /v1/responses/{response}/cancel",
    path: () => "/v1/responses/resp_none/cancel",
    answers: [
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
    ],
  },
  {
    route: "GET /v1/responses/{response}/input_items",
    path: () => "/v1/responses/resp_none/input_items",
    answers: [
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
      "404 response_not_found",
    ],
  },
  {
    route: "POST /v1/conversations",
    path: () => "/v1/conversations",
    body: () => ({}),
    answers: ["200", "200", "200", "200", "200"],
  },
  {
    route: "GET /v1/conversations/{conversation}",
    path: () => "/v1/conversations/conv_none",
    answers: [
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
    ],
  },
  {
    route: "POST /v1/conversations/{conversation}",
    path: () => "/v1/conversations/conv_none",
    body: () => ({ metadata: {} }),
    answers: [
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
    ],
  },
  {
    route: "DELETE /v1/conversations/{conversation}",
    path: () => "/v1/conversations/conv_none",
    answers: [
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
    ],
  },
  {
    route: "GET /v1/conversations/{conversation}/items",
    path: () => "/v1/conversations/conv_none/items",
    answers: [
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
    ],
  },
  {
    route: "POST /v1/conversations/{conversation}/items",
    path: () => "/v1/conversations/conv_none/items",
    body: () => ({ items: [] }),
    answers: [
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
    ],
  },
  {
    route: "GET /v1/conversations/{conversation}/items/{item}",
    path: () => "/v1/conversations/conv_none/items/x",
    answers: [
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
    ],
  },
  {
    route: "DELETE /v1/conversations/{conversation}/items/{item}",
    path: () => "/v1/conversations/conv_none/items/x",
    answers: [
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
      "404 conversation_not_found",
    ],
  },
  {
    route: "GET /v1/none",
    answers: [
      "404 route_not_found",
      "404 route_not_found",
      "404 route_not_found",
      "404 route_not_found",
      "404 route_not_found",
    ],
  },
];
