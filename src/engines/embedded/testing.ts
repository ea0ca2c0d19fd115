// For tests: a scripted device, whose model is a function and whose files are JSON, so that rules can be tested without time;
// and a real worker process with the real small model, found as the README says.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { BatchItem, Device, Generation, Sampling } from "./device.ts";
import { workerCommand } from "./launch.ts";
import type { SamplingDefaults } from "./samplingDefaults.ts";
import type { WorkerMessage, WorkerReport, WorkerStatus } from "./protocol.ts";

/** Token that ends a text of the scripted model. */
export const scriptedEnd = 0;

/** A device whose next token is what `model` says of everything the slot holds. */
export class ScriptedDevice implements Device {
  readonly slots: number;
  readonly contextTokens: number;
  readonly canTrim: boolean;
  readonly held: number[][];
  /** Every batch: per slot, how many tokens it computed. */
  readonly batches: Map<number, number>[] = [];
  private readonly model: (tokens: readonly number[]) => number;
  /** Called before each batch, with its number. */
  beforeStep: (batch: number) => void | Promise<void> = () => {};
  failSaves = false;

  constructor(options: {
    slots: number;
    contextTokens: number;
    canTrim?: boolean;
    model?: (tokens: readonly number[]) => number;
  }) {
    this.slots = options.slots;
    this.contextTokens = options.contextTokens;
    this.canTrim = options.canTrim ?? true;
    this.model = options.model ?? ((tokens) => 1 + ((tokens.length * 31 + tokens[tokens.length - 1]! * 7) % 1000));
    this.held = Array.from({ length: options.slots }, () => []);
  }

  async truncate(slot: number, tokens: number): Promise<void> {
    if (!this.canTrim && tokens > 0 && tokens < this.held[slot]!.length) throw new Error("this state cannot be cut");
    this.held[slot]!.length = Math.min(tokens, this.held[slot]!.length);
  }

  async save(slot: number, file: string): Promise<number> {
    if (this.failSaves) throw new Error("ENOSPC");
    const text = JSON.stringify(this.held[slot]);
    await writeFile(file, text, { mode: 0o600 });
    return text.length;
  }

  async load(slot: number, file: string): Promise<number> {
    this.held[slot] = [];
    this.held[slot] = JSON.parse(await readFile(file, "utf8")) as number[];
    return this.held[slot].length;
  }

  begin(_slot: number, _sampling: Sampling): Generation {
    return { end: () => {} };
  }

  /** Resolves while batch number `batch`, counted from 0, is being computed. */
  reached(batch: number): Promise<void> {
    return new Promise((resolve) => {
      const before = this.beforeStep;
      this.beforeStep = (at) => {
        if (at >= batch) resolve();
        return before(at);
      };
    });
  }

  async step(items: BatchItem[]): Promise<(number | undefined | Error)[]> {
    await this.beforeStep(this.batches.length);
    // As the library: the answers come in a later turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    this.batches.push(new Map(items.map((item) => [item.slot, item.tokens.length])));
    return items.map(({ slot, tokens, generation }) => {
      const held = this.held[slot]!;
      if (held.length + tokens.length >= this.contextTokens) return new Error("the sequence is full");
      held.push(...tokens);
      return generation && this.model(held);
    });
  }

  isEnd(token: number): boolean {
    return token === scriptedEnd;
  }
}

/** The small model's file, which test/setup/model.ts has fetched before any test runs. */
export function testModel(): string {
  const found = process.env["LINESHAFT_MODEL"];
  if (!found || !existsSync(found)) throw new Error("LINESHAFT_MODEL names no file: run tests with `npm test`.");
  return found;
}

export interface TestWorker {
  url: string;
  epoch: string;
  kvDir: string;
  process: ChildProcess;
  stderr(): string;
  get(path: string): Promise<Response>;
  post(path: string, body: unknown, signal?: AbortSignal): Promise<Response>;
  /** Erases a project. */
  remove(project: string): Promise<unknown>;
  headers: Record<string, string>;
  status(): Promise<WorkerStatus>;
  chat(body: Record<string, unknown>): Promise<ChatAnswer>;
  /** Chunks of a streamed call as they come. */
  stream(body: Record<string, unknown>, route?: string): AsyncGenerator<any>;
  /** Ends it as the supervisor does, and waits. */
  stop(): Promise<void>;
}

export interface ChatAnswer {
  choices: {
    message: { content: string | null; tool_calls?: { id: string; function: { name: string; arguments: string } }[] };
    finish_reason: string;
  }[];
  usage: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details: { cached_tokens: number } };
  lineshaft: WorkerReport;
}

/** Starts a worker as the supervisor would. `kvDir` is removed with `remove`, unless it was given. */
export async function startTestWorker(
  options: {
    kvDir?: string;
    slots?: number;
    contextTokens?: number;
    kvBudgetBytes?: number;
    queueLimit?: number;
    modelPath?: string;
    threads?: number;
    sampling?: Partial<SamplingDefaults>;
  } = {},
): Promise<TestWorker> {
  const kvDir = options.kvDir ?? mkdtempSync(path.join(tmpdir(), "lineshaft-kv-"));
  const modelPath = options.modelPath ?? testModel();
  const launch = workerCommand({ modelName: "small", threads: 1, ...options, modelPath, kvDir });
  const child = spawn(launch.command, launch.args, { env: launch.env, stdio: ["ignore", "pipe", "pipe", "ipc"] });
  let stderr = "";
  child.stderr!.on("data", (piece: Buffer) => (stderr += piece.toString()));
  const [message] = (await once(child, "message")) as [WorkerMessage];
  if (message.type === "failed") throw Object.assign(new Error(message.message), message);
  const url = `http://127.0.0.1:${message.port}`;
  const headers = { authorization: `Bearer ${launch.token}`, "content-type": "application/json" };
  const post = (route: string, body: unknown, signal?: AbortSignal) =>
    fetch(url + route, { method: "POST", headers, body: JSON.stringify(body), ...(signal && { signal }) });
  const get = (route: string) => fetch(url + route, { headers });
  return {
    url,
    epoch: message.epoch,
    kvDir,
    process: child,
    stderr: () => stderr,
    get,
    post,
    headers,
    remove: async (project) =>
      (await fetch(`${url}/lineshaft/projects/${project}`, { method: "DELETE", headers })).json(),
    status: async () => (await (await get("/lineshaft/status")).json()) as WorkerStatus,
    chat: async (body) => {
      const response = await post("/v1/chat/completions", body);
      const answer = (await response.json()) as ChatAnswer;
      if (response.status !== 200) throw new Error(`${response.status} ${JSON.stringify(answer)}`);
      return answer;
    },
    stream: async function* (body, route = "/v1/chat/completions") {
      const response = await post(route, { ...body, stream: true, stream_options: { include_usage: true } });
      if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
      yield* events(response);
    },
    stop: async () => {
      if (child.exitCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
      if (!options.kvDir) rmSync(kvDir, { recursive: true, force: true });
    },
  };
}

/** Objects of a server-sent event stream, up to its `[DONE]` or end. */
export async function* events(response: Response): AsyncGenerator<any> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const piece of response.body!) {
    text += decoder.decode(piece as Uint8Array, { stream: true });
    const parts = text.split("\n\n");
    text = parts.pop()!;
    for (const part of parts) {
      const data = /^data: (.*)$/m.exec(part)?.[1];
      if (data !== undefined && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}
