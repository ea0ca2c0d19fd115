// A client that closes the connection before its call has begun, while its body is processed.
import { request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import { expect, test, vi } from "vitest";
import { hello, testGateway, type TestGateway } from "../../src/api/testing.ts";

const never = new Promise<void>(() => {});

/** Sends a call; `received` runs at the server when its head has come. Ends when the server's side of the connection is closed. */
async function callThatGoes(at: TestGateway, body: string, received: (request: IncomingMessage) => void) {
  const closed = Promise.withResolvers<void>();
  at.server.once("request", (request, response) => {
    response.once("close", closed.resolve);
    received(request);
  });
  const request = httpRequest(`${at.address}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${at.key}`, "content-type": "application/json" },
  });
  request.on("error", () => {});
  request.end(body);
  await closed.promise;
}

test("a client that goes while its large body is worked on: the call is told, and costs nothing", async () => {
  await using at = await testGateway({ script: { wait: never } });
  const call = vi.spyOn(at.gateway, "call");
  const large = JSON.stringify({ ...hello, messages: [{ role: "user", content: "a".repeat(1_000_000) }] });
  // The body is there whole; the steps over it take several turns of the event loop, and the connection closes in one of them.
  await callThatGoes(at, large, (request) => request.once("end", () => request.socket.destroy()));
  while (call.mock.calls.length === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(call.mock.calls[0]![0].signal?.aborted).toBe(true);
  await expect(call.mock.results[0]!.value).rejects.toMatchObject({ code: "client_gone" });
  expect(at.engine.seen).toEqual([]);
});
