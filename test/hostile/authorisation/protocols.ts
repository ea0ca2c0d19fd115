// What every route of the inference APIs answers to every kind of caller, with what Lineshaft shows of their batches and storage.
import { hello } from "../../../src/api/testing.ts";
import { ofAll, type Row } from "./row.ts";

export const protocols: Row[] = [
  {
    route: "GET /v1/models",
    shows: () => '"id":"scripted"',
    answers: ofAll("200 shows it"),
  },
  { route: "GET /v1/models/{model}", path: () => "/v1/models/scripted", answers: ofAll("200") },
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
  { route: "POST /v1/messages/count_tokens", body: () => hello, answers: ofAll("200") },
  { route: "GET /api/response-storage", answers: ofAll("200") },
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
      answers: ofAll("200"),
    } satisfies Row,
  ]),
  {
    route: "GET /v1beta/models",
    shows: () => '"name":"models/scripted"',
    answers: ofAll("200 shows it"),
  },
  {
    route: "GET /v1beta/models/{model}",
    path: () => "/v1beta/models/scripted",
    answers: ofAll("200"),
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
    answers: ofAll("200"),
  },
  {
    route: "GET /v1/responses/{response}",
    path: () => "/v1/responses/resp_none",
    answers: ofAll("404 response_not_found"),
  },
  {
    route: "DELETE /v1/responses/{response}",
    path: () => "/v1/responses/resp_none",
    answers: ofAll("404 response_not_found"),
  },
  {
    route: "POST /v1/responses/{response}/cancel",
    path: () => "/v1/responses/resp_none/cancel",
    answers: ofAll("404 response_not_found"),
  },
  {
    route: "GET /v1/responses/{response}/input_items",
    path: () => "/v1/responses/resp_none/input_items",
    answers: ofAll("404 response_not_found"),
  },
  {
    route: "POST /v1/conversations",
    path: () => "/v1/conversations",
    body: () => ({}),
    answers: ofAll("200"),
  },
  {
    route: "GET /v1/conversations/{conversation}",
    path: () => "/v1/conversations/conv_none",
    answers: ofAll("404 conversation_not_found"),
  },
  {
    route: "POST /v1/conversations/{conversation}",
    path: () => "/v1/conversations/conv_none",
    body: () => ({ metadata: {} }),
    answers: ofAll("404 conversation_not_found"),
  },
  {
    route: "DELETE /v1/conversations/{conversation}",
    path: () => "/v1/conversations/conv_none",
    answers: ofAll("404 conversation_not_found"),
  },
  {
    route: "GET /v1/conversations/{conversation}/items",
    path: () => "/v1/conversations/conv_none/items",
    answers: ofAll("404 conversation_not_found"),
  },
  {
    route: "POST /v1/conversations/{conversation}/items",
    path: () => "/v1/conversations/conv_none/items",
    body: () => ({ items: [] }),
    answers: ofAll("404 conversation_not_found"),
  },
  {
    route: "GET /v1/conversations/{conversation}/items/{item}",
    path: () => "/v1/conversations/conv_none/items/x",
    answers: ofAll("404 conversation_not_found"),
  },
  {
    route: "DELETE /v1/conversations/{conversation}/items/{item}",
    path: () => "/v1/conversations/conv_none/items/x",
    answers: ofAll("404 conversation_not_found"),
  },
  {
    route: "GET /v1/none",
    answers: ofAll("404 route_not_found"),
  },
];
