// What every route of the inference APIs answers to every kind of caller, with what Lineshaft shows of their batches and storage.
import { hello } from "../../../src/api/testing.ts";
import { ofAll, type Five, type Row } from "./row.ts";

/** Every key may call, and the stranger's organisation has set no price. */
const served: Five = ["200", "200", "200", "200", "403 model_unpriced"];

const refused = "400 api_not_spoken";
/** The scripted model makes no embeddings and ranks nothing. */
const notSpoken: Five = [refused, refused, refused, refused, "403 model_unpriced"];

/** Ids of things that are not there, by their names in paths. */
const absent: Readonly<Record<string, string>> = {
  file: "file_none",
  batch: "batch_none",
  response: "resp_none",
  conversation: "conv_none",
  item: "x",
};

/** Requests about a thing that is not there, which every caller is answered alike. */
const aboutAbsent = (answer: string, requests: readonly [route: string, body?: object][]): Row[] =>
  requests.map(([route, body]) => ({
    route,
    path: () => route.split(" ")[1]!.replaceAll(/\{(\w+)\}/g, (_, name: string) => absent[name]!),
    ...(body && { body: () => body }),
    answers: ofAll(answer),
  }));

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
    answers: served,
  },
  {
    route: "POST /v1/completions",
    body: () => ({ model: "scripted", prompt: "hi" }),
    answers: served,
  },
  ...["/v1/embeddings", "/v1/rerank", "/rerank", "/v2/rerank"].map((path): Row => ({
    route: `POST ${path}`,
    body: () => ({
      model: "scripted",
      ...(path === "/v1/embeddings" ? { input: "hi" } : { query: "hi", documents: ["hi"] }),
    }),
    answers: notSpoken,
  })),
  {
    route: "POST /v1/responses",
    body: () => ({ model: "scripted", input: "hi" }),
    answers: served,
  },
  {
    route: "POST /v1/messages",
    body: () => ({ ...hello, max_tokens: 20 }),
    answers: served,
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
    answers: served,
  },
  ...["/v1beta", "/v1"].flatMap((root) => [
    ...["embedContent", "batchEmbedContents"].map((verb): Row => ({
      route: `POST ${root}/models/{model}:${verb}`,
      path: () => `${root}/models/scripted:${verb}`,
      body: () =>
        verb === "embedContent"
          ? { content: { parts: [{ text: "hi" }] } }
          : { requests: [{ model: "models/scripted", content: { parts: [{ text: "hi" }] } }] },
      answers: notSpoken,
    })),
    ...["generateContent", "streamGenerateContent"].map((verb): Row => ({
      route: `POST ${root}/models/{model}:${verb}`,
      path: () => `${root}/models/scripted:${verb}?alt=sse`,
      body: () => ({ contents: [{ parts: [{ text: "hi" }] }] }),
      answers: served,
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
  ...aboutAbsent("404 not_found", [
    ["GET /v1/files/{file}"],
    ["GET /v1/files/{file}/content"],
    ["DELETE /v1/files/{file}"],
    ["GET /v1/batches/{batch}"],
    ["POST /v1/batches/{batch}/cancel"],
  ]),
  {
    route: "POST /v1/batches",
    body: () => ({ input_file_id: "file_none", endpoint: "/v1/embeddings", completion_window: "24h" }),
    answers: ofAll("404 not_found"),
  },
  { route: "GET /v1/batches", answers: ofAll("200") },
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
  ...aboutAbsent("404 response_not_found", [
    ["GET /v1/responses/{response}"],
    ["DELETE /v1/responses/{response}"],
    ["POST /v1/responses/{response}/cancel"],
    ["GET /v1/responses/{response}/input_items"],
  ]),
  {
    route: "POST /v1/conversations",
    path: () => "/v1/conversations",
    body: () => ({}),
    answers: ofAll("200"),
  },
  ...aboutAbsent("404 conversation_not_found", [
    ["GET /v1/conversations/{conversation}"],
    ["POST /v1/conversations/{conversation}", { metadata: {} }],
    ["DELETE /v1/conversations/{conversation}"],
    ["GET /v1/conversations/{conversation}/items"],
    ["POST /v1/conversations/{conversation}/items", { items: [] }],
    ["GET /v1/conversations/{conversation}/items/{item}"],
    ["DELETE /v1/conversations/{conversation}/items/{item}"],
  ]),
  {
    route: "GET /v1/none",
    answers: ofAll("404 route_not_found"),
  },
];
