// Memory: what one key sends at once, and what engines answer without end. Bytes are counted at the side that sends them.
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createOpenAiEngine } from "../../src/engines/index.ts";
import { hello, testGateway } from "../../src/api/testing.ts";

const mib = 2 ** 20;
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A server that sends one megabyte after the other until the connection is closed; `sent` counts the bytes it could write. */
async function endless(head: string, piece: string, contentType: string) {
  const counter = { sent: 0, cut: Promise.withResolvers<void>() };
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": contentType });
    response.write(head);
    response.once("close", () => counter.cut.resolve());
    pump(response);
  });
  function pump(response: ServerResponse): void {
    while (!response.destroyed && counter.sent < 900 * mib) {
      counter.sent += piece.length;
      if (!response.write(piece)) return void response.once("drain", () => pump(response));
    }
  }
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { counter, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` };
}

test.each([
  ["a whole answer", '{"choices":[{"message":{"content":"', "a".repeat(mib), "application/json", false],
  ["one event", 'data: {"choices":[{"delta":{"content":"', "a".repeat(mib), "text/event-stream", true],
  ["an event's lines", "", "data: a\n".repeat(mib / 8), "text/event-stream", true],
])("%s without end is read to its bound, and the engine is cut off", async (_name, head, piece, type, stream) => {
  const { counter, url } = await endless(head, piece, type);
  const engine = createOpenAiEngine({ url, model: "m" });
  const read = async () => {
    const answer = await engine.open({
      shape: "chat",
      body: { ...hello, model: "m", stream },
      organisation: "o",
    } as never);
    if (stream) for await (const _ of answer.chunks);
    else await answer.whole();
  };
  await expect(read()).rejects.toMatchObject({
    code: "engine_invalid_answer",
    message: /longer than \d+ bytes/ as never,
  });
  await counter.cut.promise;
  expect(counter.sent).toBeLessThan(64 * mib);
});

test("a list of models without end is read to its bound", async () => {
  const { counter, url } = await endless('{"data":["', "a".repeat(mib), "application/json");
  await expect(createOpenAiEngine({ url, model: "m" }).probe()).rejects.toMatchObject({
    message: /longer than|did not answer/ as never,
  });
  await counter.cut.promise;
  expect(counter.sent).toBeLessThan(64 * mib);
});

test("bodies of one key that are under way are bounded together, and another key's are served", async () => {
  const wait = Promise.withResolvers<void>();
  await using at = await testGateway({ script: { wait: wait.promise } });
  const other = await at.identity.createKey({
    organisation: at.principal.organisation,
    project: at.principal.project,
    name: "other",
    role: "member",
  });
  const large = `{"model":"scripted","messages":[{"role":"user","content":"${"a".repeat(28 * mib)}"}]}`;
  const send = (key: string, body: string) =>
    fetch(`${at.address}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body,
    });
  const refused = { count: 0, both: Promise.withResolvers<void>() };
  const held = Array.from({ length: 5 }, async () => {
    const { status } = await send(at.key, large);
    if (status === 429 && ++refused.count === 2) refused.both.resolve();
    return status;
  });
  // Three fit, and stay until they are released; the others are refused at once.
  await refused.both.promise;
  at.engine.usual = {};
  expect((await send(other.secret, large)).status).toBe(200);
  wait.resolve();
  expect((await Promise.all(held)).toSorted()).toEqual([200, 200, 200, 429, 429]);
  expect((await send(at.key, large)).status).toBe(200);
});
