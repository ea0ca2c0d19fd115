// Where a live client runs: a gateway with its ledger and records over real HTTP and a real Postgres, engines that obey behind it, an empty
// home and a working folder. Conversations with the embedded model have a whole instance (conversations.live.ts).
import { spawn } from "node:child_process";
import type { IncomingMessage } from "node:http";
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Shape } from "../../src/engines/index.ts";
import { testGateway } from "../../src/api/testing.ts";
import { scriptedEngine, type Script, type ScriptedEngine } from "../../src/engines/testing.ts";
import { ruleEngine, type Rule } from "./rules.ts";
import { vectorRoutes } from "./vectors.ts";

export interface World extends AsyncDisposable {
  address: string;
  key: string;
  /** Adds an engine that speaks chat and answers by rules, as the model NAME. */
  serve(name: string, ...rules: Rule[]): Promise<ScriptedEngine>;
  /** Adds one that speaks another API. */
  serveAs(shape: Shape, name: string, ...rules: Rule[]): Promise<ScriptedEngine>;
  /** Adds an engine that makes embeddings and ranks, as the model NAME. */
  serveVectors(name: string): Promise<ScriptedEngine>;
  /** Calls that have ended, oldest first, of one model. */
  callsOf(model: string): Promise<Record<string, any>[]>;
  /** What clients have sent to the Responses API: WebSockets that they opened, and bodies that they posted. */
  readonly arrived: { readonly sockets: number; readonly posts: number };
  folder(): Folder;
}

/** Two empty folders, which are removed with what made them. */
export interface Folder {
  home: string;
  work: string;
}

export async function openWorld(): Promise<World> {
  const at = await testGateway();
  const engines: ScriptedEngine[] = [];
  const folders = new Folders();
  const arrived = { sockets: 0, posts: 0 };
  at.server.on("upgrade", () => void arrived.sockets++);
  at.server.on("request", ({ url }: IncomingMessage) => void (url === "/v1/responses" && arrived.posts++));
  const add = async (name: string, engine: ScriptedEngine, kind?: string) => {
    engines.push(engine);
    const price = { input_nano_per_million: "3000000", output_nano_per_million: "7000000", currency: "USD" };
    const body = JSON.stringify({ name, urls: [engine.url], model: name, price, kind });
    const added = await at.request("/api/engines", { method: "POST", body });
    if (added.status >= 300) throw new Error(`The engine was refused: ${JSON.stringify(added.body)}`);
    return engine;
  };
  const serveAs: World["serveAs"] = async (shape, name, ...rules) => {
    const card = { owned_by: "sglang", max_model_len: 200_000 };
    const own = shape === "chat" ? { routes: {}, card } : { routes: { ...googlesList(name) }, shape };
    const engine = await scriptedEngine({}, [name], 0, own);
    engine.decide = ruleEngine(...rules);
    return add(name, engine, kindOf[shape]);
  };
  return {
    address: at.address,
    key: at.key,
    serve: (name, ...rules) => serveAs("chat", name, ...rules),
    serveAs,
    async serveVectors(name) {
      const routes = vectorRoutes();
      return add(name, await scriptedEngine({}, [name], 0, { routes, card: { owned_by: "vllm", max_model_len: 512 } }));
    },
    async callsOf(model) {
      await at.gateway.flushed();
      const { body } = await at.request("/api/calls?limit=200");
      return body.data.filter((call: { model: string }) => call.model === model).toReversed();
    },
    arrived,
    folder: () => folders.make(),
    async [Symbol.asyncDispose]() {
      for (const engine of engines) await engine[Symbol.asyncDispose]();
      await at[Symbol.asyncDispose]();
      folders[Symbol.dispose]();
    },
  };
}

/** The list in which Google's API says how long a prompt may be. No other API asks for it in this shape. */
const googlesList = (name: string) => ({
  "GET /v1/models": (_body: unknown, path: string) =>
    path.includes("pageSize")
      ? {
          models: [
            {
              name: `models/${name}`,
              inputTokenLimit: 200_000,
              outputTokenLimit: 64_000,
              supportedGenerationMethods: ["generateContent", "countTokens"],
            },
          ],
        }
      : { data: [{ type: "model", id: name, object: "model" }], has_more: false },
});

/** The kind of an engine that speaks an API; absent: asked. */
const kindOf: Partial<Record<Shape, string>> = { messages: "anthropic", responses: "responses", gemini: "gemini" };

/** Folders of clients, removed together. */
export class Folders implements Disposable {
  readonly #made: string[] = [];

  make(): Folder {
    const folder = mkdtempSync(join(tmpdir(), "lineshaft-client-"));
    this.#made.push(folder);
    const [home, work] = [join(folder, "home"), join(folder, "work")];
    for (const made of [home, work]) mkdirSync(made);
    return { home, work };
  }

  [Symbol.dispose](): void {
    for (const folder of this.#made) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs a program to its end. It sees an empty home and nothing of this process's environment but PATH; every address but this machine's is
 * behind a proxy that does not exist. Resolves also where it fails or takes longer than `withinMs`, which kills it and all that it started.
 */
export function runProgram(
  command: string,
  words: readonly string[],
  options: Folder & { env?: Record<string, string>; stdin?: string; withinMs?: number },
): Promise<Ran> {
  const nowhere = "http://127.0.0.1:9";
  const child = spawn(command, words, {
    cwd: options.work,
    detached: true,
    env: {
      PATH: process.env["PATH"],
      HOME: options.home,
      TMPDIR: options.home,
      LANG: "C.UTF-8",
      TERM: "dumb",
      HTTP_PROXY: nowhere,
      HTTPS_PROXY: nowhere,
      NO_PROXY: "127.0.0.1,localhost",
      no_proxy: "127.0.0.1,localhost",
      ...options.env,
    },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const ran = { stdout: "", stderr: "" };
  child.stdout.on("data", (bytes) => (ran.stdout += bytes));
  child.stderr.on("data", (bytes) => (ran.stderr += bytes));
  child.stdin.on("error", () => {});
  child.stdin.end(options.stdin ?? "");
  const timer = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), options.withinMs ?? 180_000);
  return new Promise((resolve) => {
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, ...ran });
    });
  });
}

/** One step of a task: a call of one of the client's own tools. */
export interface Step {
  tool: string;
  arguments: Record<string, unknown>;
}

/**
 * A task with tools: the first request that offers the first step's tool begins it, each further result brings the next step, and `done`
 * ends it. What a client asks beside it (a title, a choice of model) is left to the usual rules.
 */
export function task(steps: readonly Step[], done: string): Rule {
  return (seen): Script | undefined => {
    if (!seen.tools.some(({ name }) => name === steps[0]!.tool)) return undefined;
    const step = steps[seen.results.length];
    if (!step) return { chunks: [done] };
    return { chunks: [], toolCalls: [{ name: step.tool, arguments: JSON.stringify(step.arguments) }] };
  };
}

/** The file that a task reads, and its words. */
export const hello = { name: "hello.txt", text: "Seven green apples.\n" };

export function withHello(work: string): string {
  const path = join(work, hello.name);
  writeFileSync(path, hello.text);
  return path;
}
