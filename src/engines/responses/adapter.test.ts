// An endpoint that speaks OpenAI's Responses does what every engine does, and what it is sent and says is what that API documents.
import { expect, test } from "vitest";
import { engineSuite, scriptedSubject } from "../suite.ts";
import { scriptedEngine } from "../testing.ts";
import { responsesCases } from "../testing/responsesCases.ts";
import type { EngineRequest } from "../types.ts";
import { createResponsesEngine } from "./adapter.ts";

const credential = "sk-key-of-the-suite";

engineSuite(
  "an endpoint that speaks Responses",
  async () => {
    const never = () => () => {};
    const own = { routes: {}, shape: "responses" as const, card: {} };
    const server = await scriptedEngine({}, ["scripted"], 0, own);
    return scriptedSubject(createResponsesEngine({ url: server.url, model: "scripted", key: credential }), credential, {
      ...server,
      silence: () => void Object.assign(own.routes, { "GET /v1/models": never }),
    });
  },
  responsesCases,
);

const hints = { attempt: "att_1", cacheSalt: "prj_1", project: "prj_1" };

test("what is sent: its own headers and nothing else; nothing is to be kept, and hints stay here", async () => {
  await using server = await scriptedEngine({}, ["scripted"], 0, { routes: {}, shape: "responses" });
  const engine = createResponsesEngine({ url: server.url, model: "scripted", key: credential });
  const request: EngineRequest = { shape: "responses", body: { model: "scripted", input: "hi", store: true }, hints };
  await (await engine.open(request)).whole();
  const [{ path, headers, body }] = server.seen as [(typeof server.seen)[0]];
  expect(path).toBe("/v1/responses");
  expect(Object.keys(headers).toSorted()).toEqual([
    ...["accept", "authorization", "connection", "content-length", "content-type", "host", "user-agent"],
  ]);
  expect(headers.authorization).toBe(`Bearer ${credential}`);
  expect(body).toEqual({ model: "scripted", input: "hi", store: false });
});

test("an endpoint without a list of models serves calls", async () => {
  const routes = { "GET /v1/models": () => undefined };
  await using server = await scriptedEngine({}, [], 0, { routes, shape: "responses" });
  expect(await createResponsesEngine({ url: server.url, model: "scripted" }).probe()).toMatchObject({ models: [] });
});
