// What clients are told when the server stops under their calls: that it stops (503 `shutting_down`, try again), never that
// they had closed the connection. Before the first byte it is the answer, after it an event inside the stream.
import { expect, test } from "vitest";
import { closeServer } from "../../src/api/http/server.ts";
import { hello, rows, testGateway } from "../../src/api/testing.ts";
import type { TestGateway } from "../../src/api/testing.ts";

/** Stops the server without grace as soon as the engine has seen so many calls. */
async function stopAt(at: TestGateway, calls: number): Promise<void> {
  await expect.poll(() => at.engine.seen.length, { timeout: 60_000 }).toBe(calls);
  await closeServer(at.server, at.gateway, 0);
}

function post(at: TestGateway, body: object): Promise<Response> {
  return fetch(`${at.address}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${at.key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

const never = new Promise<void>(() => {});

test.each([false, true])("a call without a first byte (stream: %s) is told 503 shutting_down", async (stream) => {
  await using at = await testGateway({ script: { wait: never } });
  const asked = post(at, { ...hello, stream });
  await stopAt(at, 1);
  const answer = await asked;
  const body = (await answer.json()) as { error: { code: string; type: string; message: string } };
  expect([answer.status, body.error.code, body.error.type]).toEqual([503, "shutting_down", "server_error"]);
  expect(body.error.message).toMatch(/again/);
  expect(answer.headers.get("retry-after")).toBe("2");
  expect(answer.headers.get("x-should-retry")).toBe("true");
  const { calls, attempts, settlements } = await rows(at);
  expect(calls).toMatchObject([{ status: "cancelled", error_code: "shutting_down" }]);
  expect(attempts).toMatchObject([{ status: "cancelled", error_code: "shutting_down" }]);
  expect(settlements).toHaveLength(1);
});

test("a stream that is cut says so inside, and ends without [DONE]", async () => {
  await using at = await testGateway({ script: { wait: never, waitAfter: 2 } });
  const answer = await post(at, { ...hello, stream: true });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("Hello")) text += (await reader.read()).value ?? "";
  await stopAt(at, 1);
  for (let step = await reader.read(); !step.done; step = await reader.read()) text += step.value;
  const events = text.trim().split("\n\n");
  const last = JSON.parse(events.at(-1)!.slice("data: ".length)) as { error: { code: string; message: string } };
  expect(last.error.code).toBe("shutting_down");
  expect(last.error.message).toMatch(/again/);
  expect(text).not.toContain("[DONE]");
  const { calls } = await rows(at);
  expect(calls).toMatchObject([{ status: "cancelled", error_code: "shutting_down" }]);
});

test("calls that wait in the queue are told the same, and hold nothing afterwards", async () => {
  await using at = await testGateway({ script: { wait: never } });
  // The engine reports its slots, so its room is finite: one call runs, one more place is taken, and the other calls wait.
  at.engines.get("scripted")!.facts = {
    models: ["scripted"],
    slots: 1,
    capabilities: {
      tokenize: false,
      kvEvents: false,
    },
  };
  at.engines.answered(at.engines.get("scripted")!);
  const asked = [1, 2, 3, 4].map(() => post(at, hello));
  await expect.poll(() => at.gateway.scheduler()).toMatchObject({ placed: 2, queued: 2 });
  await closeServer(at.server, at.gateway, 0);
  for (const answer of await Promise.all(asked)) {
    expect(answer.status).toBe(503);
    expect(((await answer.json()) as { error: { code: string } }).error.code).toBe("shutting_down");
  }
  const { calls, attempts, settlements } = await rows(at);
  expect(calls.map((call) => call["error_code"])).toEqual(Array(4).fill("shutting_down"));
  // A call that still waited was sent nowhere: it has no attempt, and nothing was settled for it.
  expect(attempts.length).toBeLessThan(4);
  expect(settlements.map((row) => row["attempt"]).sort()).toEqual(attempts.map((row) => row["id"]).sort());
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
});

test("a reader of live events is told before its connection closes", async () => {
  await using at = await testGateway();
  const answer = await fetch(`${at.address}/api/events`, { headers: { authorization: `Bearer ${at.key}` } });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value ?? "";
  await closeServer(at.server, at.gateway, 0);
  for (let step = await reader.read(); !step.done; step = await reader.read()) text += step.value;
  expect(text).toMatch(/event: error\ndata: .*shutting_down/);
  expect(text).toMatch(/retry: \d+/);
});
