// What a call costs that waits for its turn and does not get it: nothing, whatever ended the wait.
import { describe, expect, test } from "vitest";
import { hello, rows, testGateway, type TestGateway } from "../api/testing.ts";

describe("a call that waits for its turn", () => {
  /** The engine runs one call at a time. */
  async function withOneSlot(at: TestGateway) {
    const entry = at.engines.get("scripted")!;
    entry.facts = { ...entry.facts!, models: ["scripted"], slots: 1, capabilities: entry.facts?.capabilities ?? plain };
    at.engines.answered(entry);
  }
  const plain = {
    tokenize: false,
    kvEvents: false,
  };

  test("its hold is given back when its client leaves, and the engine never hears of it", async () => {
    await using at = await testGateway();
    await withOneSlot(at);
    const held = Promise.withResolvers<void>();
    // One runs and one waits at the engine; the third waits here.
    at.engine.next({ wait: held.promise }, { wait: held.promise });
    const served = [1, 2].map(() => at.client().chat.completions.create(hello));
    await expect.poll(() => at.engine.seen.length).toBe(2);
    const gone = new AbortController();
    const third = at.client().chat.completions.create(hello, { signal: gone.signal });
    await expect.poll(() => at.gateway.scheduler().queued).toBe(1);
    gone.abort();
    await expect(third).rejects.toThrow();
    await expect.poll(() => at.gateway.scheduler().queued).toBe(0);
    held.resolve();
    await Promise.all(served);
    await expect
      .poll(async () => (await rows(at)).calls.map((row) => row["status"]).sort())
      .toEqual(["cancelled", "completed", "completed"]);
    const { settlements, attempts } = await rows(at);
    expect(settlements).toHaveLength(2);
    expect(attempts).toHaveLength(2);
    expect(at.engine.seen).toHaveLength(2);
    expect((await at.ledger.prove()).discrepancies).toEqual([]);
  });

  test("a deadline that cannot be met is refused at once, with the time to come back, and costs nothing", async () => {
    await using at = await testGateway();
    await withOneSlot(at);
    const refused = at
      .client()
      .chat.completions.create(
        { ...hello, messages: [{ role: "user", content: "word ".repeat(100_000) }] },
        { headers: { "x-lineshaft-deadline-ms": "5" } },
      );
    await expect(refused).rejects.toMatchObject({ status: 429, code: "deadline_unreachable" });
    await expect(
      at.client().chat.completions.create(hello, { headers: { "x-lineshaft-deadline-ms": "soon" } }),
    ).rejects.toMatchObject({ status: 400, code: "invalid_header" });
    const { settlements, calls } = await rows(at);
    expect(settlements).toEqual([]);
    expect(calls).toMatchObject([{ status: "refused", error_code: "deadline_unreachable", price_nano: 0n }]);
    expect(at.engine.seen).toHaveLength(0);
  });
});
