// Every input of the corpus against a real gateway over a scripted engine: it is answered with a status that is right for it, the answer's
// body is JSON, and the gateway serves an ordinary call afterwards. What schemas report is counted: each report costs microseconds, and the
// answer shows one.
import "./patience.ts";
import { z } from "@hono/zod-openapi";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createAgents } from "../../src/agents/index.ts";
import { agentRoutes } from "../../src/api/index.ts";
import { Secrets } from "../../src/governance/index.ts";
import { hello, testGateway, type TestGateway } from "../../src/api/testing.ts";
import { corpus } from "./corpus/index.ts";
import type { Sent } from "./corpus/types.ts";

let gateway: TestGateway;
let reports = 0;
const reportsMost = 200;
beforeAll(async () => {
  z.config({
    customError: () => {
      reports++;
      return undefined;
    },
  });
  gateway = await testGateway({
    // No Restate is there: runs are stored and never begin.
    routes: (parts) => {
      const nowhere = { socket: "/dev/null/restate" };
      const restate = { ingress: nowhere, admin: nowhere, embedded: true, identityKeys: [] };
      return [
        agentRoutes(
          createAgents({
            ...parts,
            events: { publish: () => {} },
            restate,
            secrets: new Secrets({ db: parts.db, key: Buffer.alloc(32) }),
          }).parts,
        ),
      ];
    },
  });
});
afterAll(async () => {
  z.config({ customError: undefined });
  await gateway[Symbol.asyncDispose]();
});

test("names of the corpus are unique", () => {
  const names = corpus.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test.each(corpus)("$name", async ({ prepare = [], engine, status, ...input }) => {
  for (const before of prepare) await send(before);
  gateway.engine.usual = engine?.() ?? {};
  reports = 0;
  const answer = await send(input);
  expect(reports).toBeLessThan(reportsMost);
  gateway.engine.usual = {};
  expect(answer.status).toBe(status);
  // A stream is text; everything else, errors too, is JSON.
  if (answer.headers.get("content-type")?.startsWith("text/event-stream")) expect(answer.body).toMatch(/^data: /);
  else expect(answer.body).toBeTypeOf("object");
  const after = await gateway.request("/v1/chat/completions", { method: "POST", body: JSON.stringify(hello) });
  expect(after.status).toBe(200);
});

function send({ method, path, headers = {}, body }: Sent) {
  return gateway.request(path, { method, headers, ...(body && { body: body() as BodyInit }) });
}
