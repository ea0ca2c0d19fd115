// What is written before what: the mark of an attempt before its engine is asked, and the record of a call before its client has the
// answer.
import { expect, test, vi } from "vitest";
import { memoryGateway } from "./testing/memoryGateway.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("the engine is asked once the mark of the attempt is written", async () => {
  await using at = await memoryGateway();
  const opened = vi.spyOn(at.engines.get("scripted")!.engine, "open");
  const written = Promise.withResolvers<void>();
  const marked = Promise.withResolvers<void>();
  at.ledger.sent = () => (marked.resolve(), written.promise);
  const call = at.gateway.call(at.request());
  await marked.promise;
  await turn();
  expect(opened).not.toHaveBeenCalled();
  written.resolve();
  await (await call).whole();
  expect(opened).toHaveBeenCalledTimes(1);
});

test("a call whose mark cannot be written asks no engine and costs nothing", async () => {
  await using at = await memoryGateway();
  at.ledger.sent = () => Promise.reject(new Error("no room"));
  await expect(at.gateway.call(at.request())).rejects.toThrow();
  expect(at.engine.seen).toHaveLength(0);
  expect(at.ledger.spentNano).toBe(0n);
});

test.each([
  ["a whole answer", false],
  ["the end of a stream", true],
])("%s is given once the call's record is written", async (_name, stream) => {
  await using at = await memoryGateway();
  const written = Promise.withResolvers<void>();
  const recorded = Promise.withResolvers<void>();
  at.ledger.recordCall = () => (recorded.resolve(), written.promise);
  let hasEnded = false;
  const read = async () => {
    const answer = await at.gateway.call(at.request({ stream }));
    if (stream) for await (const _chunk of answer.chunks);
    else await answer.whole();
    hasEnded = true;
  };
  const reading = read();
  await recorded.promise;
  await turn();
  expect(hasEnded).toBe(false);
  written.resolve();
  await reading;
  expect(hasEnded).toBe(true);
});

test("a call that is refused is answered once its record is written", async () => {
  await using at = await memoryGateway();
  const written = Promise.withResolvers<void>();
  const recorded = Promise.withResolvers<void>();
  at.ledger.recordCall = () => (recorded.resolve(), written.promise);
  let isRefused = false;
  const call = at.gateway.call(at.request({ model: "unknown" })).catch(() => (isRefused = true));
  await recorded.promise;
  await turn();
  expect(isRefused).toBe(false);
  written.resolve();
  await call;
  expect(isRefused).toBe(true);
});

test("an answer is given although the disk fails meanwhile: its record waits in memory", async () => {
  await using at = await memoryGateway();
  at.ledger.recordCall = () => Promise.reject(new Error("no room"));
  const answer = await at.gateway.call(at.request());
  await answer.whole();
  const stream = await at.gateway.call(at.request({ stream: true }));
  for await (const _chunk of stream.chunks);
  expect(await stream.finished).toMatchObject({ status: "completed" });
});
