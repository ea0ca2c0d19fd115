// For tests: a real worker process with the real small model, which test/setup/model.ts has fetched.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { workerCommand } from "./launch.ts";
import type { SamplingDefaults } from "./samplingDefaults.ts";
import type { WorkerMessage, WorkerReport, WorkerStatus } from "./protocol.ts";

/** The small model's file, which test/setup/model.ts has fetched before any test runs. */
function testModel(): string {
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
  /** Ends it as the supervisor does, unless it has ended, and waits. */
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
    embeds?: boolean;
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
      if (child.exitCode === null && child.signalCode === null) {
        const gone = once(child, "exit");
        child.kill("SIGTERM");
        await gone;
      }
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
