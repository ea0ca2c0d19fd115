// Where a live client runs: a real instance, an engine that obeys beside the embedded one, an empty home and a working folder.
import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scriptedEngine, type Script, type ScriptedEngine } from "../../src/engines/testing.ts";
import { startInstance, type Instance } from "../setup/instance.ts";
import { ruleEngine, type Rule } from "./rules.ts";

export interface World extends AsyncDisposable {
  instance: Instance;
  /** Name of the embedded model. */
  embedded: string;
  /** Adds an engine that answers by rules, as the model NAME. */
  serve(name: string, ...rules: Rule[]): Promise<ScriptedEngine>;
  ask(path: string, init?: { method?: string; body?: unknown }): Promise<{ status: number; body: any }>;
  /** Calls that have ended, oldest first, of one model. */
  callsOf(model: string): Promise<Record<string, any>[]>;
  /** An empty folder with `home` and `work` in it. */
  folder(): { home: string; work: string };
}

/** A worker that takes little memory, for tests that the embedded model has no part in. */
const smallWorker = { LINESHAFT_WORKER_SLOTS: "1", LINESHAFT_WORKER_CONTEXT: "512" };

/** `env`: of the instance; a small worker when absent. */
export async function openWorld(env: Record<string, string> = smallWorker): Promise<World> {
  const instance = await startInstance({ env });
  const engines: ScriptedEngine[] = [];
  const folders: string[] = [];
  const ask: World["ask"] = async (path, { method = "GET", body } = {}) => {
    const response = await fetch(instance.address + path, {
      method,
      headers: { authorization: `Bearer ${instance.key}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  };
  const { body: models } = await ask("/v1/models");
  return {
    instance,
    embedded: models.data[0].id,
    ask,
    async serve(name, ...rules) {
      const engine = await scriptedEngine({}, [name], 0, {
        routes: {},
        card: { owned_by: "sglang", max_model_len: 200_000 },
      });
      engine.decide = ruleEngine(...rules);
      engines.push(engine);
      const price = { input_nano_per_million: "3000000", output_nano_per_million: "7000000", currency: "USD" };
      const added = await ask("/api/engines", {
        method: "POST",
        body: { name, urls: [engine.url], model: name, price },
      });
      if (added.status >= 300) throw new Error(`The engine was refused: ${JSON.stringify(added.body)}`);
      return engine;
    },
    async callsOf(model) {
      const { body } = await ask("/api/calls?limit=200");
      return body.data.filter((call: { model: string }) => call.model === model).toReversed();
    },
    folder() {
      const folder = mkdtempSync(join(tmpdir(), "lineshaft-client-"));
      folders.push(folder);
      const [home, work] = [join(folder, "home"), join(folder, "work")];
      for (const made of [home, work]) mkdirSync(made);
      return { home, work };
    },
    async [Symbol.asyncDispose]() {
      for (const engine of engines) await engine[Symbol.asyncDispose]();
      await instance[Symbol.asyncDispose]();
      for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
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
  options: { home: string; work: string; env?: Record<string, string>; stdin?: string; withinMs?: number },
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
 * A task with tools: the first request that offers the first step's tool begins it, each further result brings the next step, and `done` ends
 * it. What a client asks beside it (a title, a choice of model) is left to the usual rules.
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
