// An answer of one of two embedded workers, with the real small model, whose worker is killed in mid-stream: the other goes on with it.
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { expect, test, vi } from "vitest";
import { createEmbeddedEngine } from "../engines/embedded/adapter.ts";
import { startTestWorker, type TestWorker } from "../engines/embedded/testing.ts";
import { memoryGateway } from "./testing/memoryGateway.ts";

// Ends a test that hangs. It is no measurement: a start may take long on a busy machine.
vi.setConfig({ testTimeout: 240_000 });

/** So many events of an answer pass, whichever worker writes them. The worker whose event is the next one is killed. */
interface Cut {
  left: number;
}

/** The address of a line to a worker. What a worker has written ahead when it is killed does not arrive, however late that is. */
async function lineTo(worker: TestWorker, cut: Cut): Promise<AsyncDisposable & { url: string }> {
  const server = createServer((client) => {
    const behind = connect(Number(new URL(worker.url).port), "127.0.0.1");
    let isCut = false;
    client.on("error", () => {}).on("close", () => behind.destroy());
    behind.on("error", () => {}).on("close", () => isCut || client.destroySoon());
    client.pipe(behind);
    behind.on("data", (bytes: Buffer) => {
      if (isCut) return;
      for (let at = bytes.indexOf("data: "); at >= 0 && !isCut; at = bytes.indexOf("data: ", at + 1))
        if (cut.left-- === 0) {
          isCut = true;
          bytes = bytes.subarray(0, at);
        }
      client.write(bytes);
      if (!isCut) return;
      cut.left = Number.POSITIVE_INFINITY;
      worker.process.kill("SIGKILL");
      void once(worker.process, "exit").then(() => client.destroySoon());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

test("an answer whose worker dies is continued by the other, to what one worker would have written", async () => {
  const workers = [await startTestWorker({ contextTokens: 512 }), await startTestWorker({ contextTokens: 512 })];
  try {
    await using at = await memoryGateway();
    await using lines = new AsyncDisposableStack();
    const cut = { left: Number.POSITIVE_INFINITY };
    for (const [place, worker] of workers.entries()) {
      const { url } = lines.use(await lineTo(worker, cut));
      const token = worker.headers["authorization"]!.slice("Bearer ".length);
      const engine = createEmbeddedEngine({ url, token });
      const facts = await engine.probe();
      at.engines.add("pair", engine, { kind: "embedded", model: "small", endpoint: `worker-${place}`, facts });
    }
    const body = {
      model: "pair",
      messages: [{ role: "user", content: "Write a Python function that reverses a list." }],
      max_tokens: 32,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    };
    const chat = async () => {
      const answer = await at.gateway.call(at.request(body));
      const texts: string[] = [];
      const ends: string[] = [];
      let usage: { promptTokens: number; outputTokens: number } | undefined;
      for await (const { deltas, usage: told, wire } of answer.chunks) {
        for (const { text, finish } of deltas) {
          if (text) texts.push(text);
          if (finish) ends.push(finish);
        }
        usage = told ?? usageOf(wire.data) ?? usage;
      }
      return { texts, ends, usage: usage!, record: await answer.finished, last: answer.lastHeaders() };
    };

    const whole = await chat();
    // The event that begins the answer, and eight of its text.
    cut.left = 9;
    const broken = await chat();

    expect(workers.filter(({ process }) => process.signalCode === "SIGKILL")).toHaveLength(1);
    const attempts = at.ledger.settlements
      .map(({ row }) => row as { call: string; why: string; status: string; engine: string; output_tokens: number })
      .filter((row) => row?.call === broken.record.id);
    expect(attempts.map(({ why, status }) => `${why} ${status}`)).toEqual(["first failed", "continued completed"]);
    expect(new Set(attempts.map(({ engine }) => engine)).size).toBe(2);
    expect(broken.last["x-lineshaft-continued"]).toBe("true");
    expect(broken.ends).toEqual(["length"]);
    expect(broken.usage).toMatchObject({
      promptTokens: broken.record.promptTokens,
      outputTokens: broken.record.outputTokens,
    });
    // Rounding may tip a near-tie late in the rest (engines/embedded/README.md). A wrong beginning shows in the next words.
    const text = (pieces: string[]) => pieces.join("");
    expect(text(broken.texts).slice(0, text(whole.texts.slice(0, 14)).length)).toBe(text(whole.texts.slice(0, 14)));
    expect(broken.record.status).toBe("completed");
    expect(at.ledger.heldNano).toBe(0n);
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
  }
});

function usageOf(data: Record<string, unknown>) {
  const usage = data["usage"] as { prompt_tokens: number; completion_tokens: number } | null | undefined;
  return usage ? { promptTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens } : undefined;
}
