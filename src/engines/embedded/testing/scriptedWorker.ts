// A scripted engine with the routes that only the embedded worker has (protocol.ts), for tests where the model is not the point: status,
// tokens, aborts, facts, hints, prefills and KV events. An aborted answer goes on to its end at once, as a worker's does.
import type { ServerResponse } from "node:http";
import { scriptedEngine, type Script, type ScriptedEngine } from "../../testing.ts";
import type { PrefillAnswer, WorkerStatus } from "../protocol.ts";

interface ScriptedWorker extends ScriptedEngine {
  /** From now on the status is not answered. */
  silence(): void;
  /** Publishes so many stored blocks. */
  publish(count: number): void;
  /** Begins a new epoch with one stored block; readers of the old one are disconnected. */
  restart(): void;
}

/** A worker with the model `scripted`. Its address is that of `scriptedEngine`, without `/v1`. */
export async function scriptedWorker(): Promise<ScriptedWorker> {
  let silent = false;
  /** Aborted attempts, and the functions that end waiting ones. */
  const aborted = new Set<string>();
  const endings = new Map<string, () => void>();
  const anyAbort = Promise.withResolvers<void>();
  const events = new ScriptedEvents();
  const engine = await scriptedEngine({}, ["scripted"], 0, {
    routes: {
      "GET /lineshaft/status": () => (silent ? () => {} : statusOf(events.epoch)),
      "POST /tokenize": () => ({ count: 3, tokens: [7, 8, 9], max_model_len: 1024 }),
      "POST /lineshaft/abort": (body) => {
        const { attempt } = body as { attempt: string };
        aborted.add(attempt);
        anyAbort.resolve();
        endings.get(attempt)?.();
        return {};
      },
      "POST /lineshaft/facts": (body) => ({
        receipts: (body as { facts: { type: string; program: string }[] }).facts.map(({ type, program }) => ({
          fact: type,
          program,
          honoured: true,
          action: "none",
        })),
      }),
      "POST /lineshaft/kv": (body) => ({
        receipts: (body as { hints: { verb: string; program: string }[] }).hints.map((hint) =>
          hint.program === "run_1"
            ? { ...hint, honoured: true, tokens: 64 }
            : { ...hint, honoured: false, tokens: 0, reason: "no such program" },
        ),
      }),
      "POST /lineshaft/prefill*": (body) => (response) => {
        const { attempt } = (body as { lineshaft: { attempt: string } }).lineshaft;
        const answer = (state: string | null) => response.end(JSON.stringify(prefilled(state)));
        if (aborted.has(attempt)) answer(null);
        // The abort of such an attempt may arrive after it.
        else if (attempt.endsWith("_given_up")) endings.set(attempt, () => answer(null));
        else answer("state-1");
      },
      "POST /lineshaft/release": () => ({ released: false }),
      "DELETE /lineshaft/projects/*": () => ({}),
      "GET /lineshaft/events": (_, path) => (response) => events.open(response, path),
    },
  });
  const { next } = engine;
  const endsOnAbort = (script: Script): Script =>
    script.wait ? { ...script, wait: Promise.race([script.wait, anyAbort.promise]) } : script;
  return Object.assign(engine, {
    url: engine.url.replace(/\/v1$/, ""),
    silence: () => void (silent = true),
    publish: (count: number) => events.publish(count),
    restart: () => events.restart(),
    next: (...scripts: Script[]) => next(...scripts.map(endsOnAbort)),
  });
}

/** Numbered events of one epoch, and the connections that read them. */
class ScriptedEvents {
  epoch = "epoch-1";
  #events: string[] = [];
  readonly #readers = new Set<ServerResponse>();

  open(response: ServerResponse, path: string): void {
    const query = new URLSearchParams(path.split("?")[1]);
    const since = query.get("epoch") === this.epoch ? Number(query.get("since")) : 0;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    for (const event of this.#events.slice(since)) response.write(event);
    this.#readers.add(response);
    response.once("close", () => this.#readers.delete(response));
  }

  publish(count: number): void {
    for (let event = 0; event < count; event++) this.#add("stored");
  }

  restart(): void {
    this.epoch = `${this.epoch}+`;
    this.#events = [];
    for (const reader of this.#readers) reader.destroy();
    this.#readers.clear();
    this.#add("cleared");
    this.#add("stored");
  }

  #add(type: "stored" | "cleared"): void {
    const sequence = this.#events.length;
    const block = { tier: "device", blocks: [sequence.toString(16).padStart(16, "0")], parent: null };
    const event = { type, sequence, epoch: this.epoch, ...(type === "stored" && block) };
    const text = `id: ${sequence}\ndata: ${JSON.stringify(event)}\n\n`;
    this.#events.push(text);
    for (const reader of this.#readers) reader.write(text);
  }
}

function statusOf(epoch: string): WorkerStatus {
  return {
    model: "scripted",
    modelPath: "scripted.gguf",
    epoch,
    pid: 1,
    threads: 1,
    contextTokens: 1024,
    blockTokens: 64,
    slots: 2,
    queueLimit: 8,
    sampling: { source: "usual", temperature: 0, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 },
    running: 0,
    waiting: 0,
    memory: { rssBytes: 0, modelBytes: 0, kvBytes: 0 },
    disk: { usedBytes: 0, budgetBytes: 0, files: 0 },
    kv: { bytesPerToken: 1, deviceTokens: 2048, totalTokens: 4096, reloadMsPerToken: { disk: 0.01 }, pool: "folder" },
    sequences: [],
    totals: {
      calls: 0,
      promptTokens: 0,
      computedTokens: 0,
      cachedDeviceTokens: 0,
      cachedDiskTokens: 0,
      outputTokens: 0,
      parks: 0,
      restores: 0,
      lends: 0,
      pulls: 0,
      aborts: 0,
    },
  };
}

function prefilled(state: string | null): PrefillAnswer {
  return {
    state,
    tokens: 10,
    leaseMs: 60_000,
    saveMs: 1,
    report: {
      sequence: 0,
      cachedByTier: { device: 0, disk: 0 },
      computedTokens: 10,
      queueMs: 0,
      restoreMs: 0,
      prefillMs: 1,
      decodeMs: 0,
    },
  };
}
