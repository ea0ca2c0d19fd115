// The thread of sandbox.ts: one fresh QuickJS runtime per verdict, thrown away afterwards.
import { parentPort } from "node:worker_threads";
import { newQuickJSWASMModule } from "quickjs-emscripten";
import type { QuickJSContext, QuickJSHandle, QuickJSRuntime, QuickJSWASMModule } from "quickjs-emscripten";
import { limits } from "../limits.ts";
import type { SandboxReply, SandboxRequest, Verdict } from "./sandbox.ts";

type ContextResult = ReturnType<QuickJSContext["evalCode"]>;

/** What would make a verdict depend on anything but the evidence is not there. */
const prelude = `delete globalThis.Date; delete Math.random; delete globalThis.performance;`;

/** A runtime that could not be disposed of whole takes its WASM module with it. */
let quickjs: Promise<QuickJSWASMModule> | undefined;

export async function judge(source: string, evidence: string): Promise<Verdict> {
  const loaded = await (quickjs ??= newQuickJSWASMModule());
  const runtime = loaded.newRuntime();
  try {
    return judgeIn(runtime, source, evidence);
  } finally {
    try {
      runtime.dispose();
    } catch {
      quickjs = undefined;
    }
  }
}

function judgeIn(runtime: QuickJSRuntime, source: string, evidence: string): Verdict {
  runtime.setMemoryLimit(limits.verifierMemoryBytes);
  runtime.setMaxStackSize(limits.verifierStackBytes);
  let ticks = 0;
  runtime.setInterruptHandler(() => ++ticks > limits.verifierTicks);
  const context = runtime.newContext();
  const handles: { dispose(): void }[] = [];
  /** The value of a result; its error as an Error of ours, read as text so that nothing of the sandbox is kept. */
  const value = (result: ContextResult): QuickJSHandle => {
    if (result.error) {
      handles.push(result.error);
      throw new Error(describe(context, result.error));
    }
    handles.push(result.value);
    return result.value;
  };
  try {
    value(context.evalCode(prelude));
    const module = value(context.evalCode(source, "verifier.js", { type: "module" }));
    const verify = context.getProp(module, "default");
    handles.push(verify);
    if (context.typeof(verify) !== "function")
      throw new Error("The verifier must export a function: export default function verify(evidence) { … }.");
    const call = value(context.evalCode("(verify, text) => JSON.stringify(verify(JSON.parse(text)))"));
    const text = context.newString(evidence);
    handles.push(text);
    const result = value(context.callFunction(call, context.undefined, verify, text));
    const answer = context.typeof(result) === "string" ? (JSON.parse(context.getString(result)) as unknown) : undefined;
    return verdictOf(answer);
  } finally {
    for (const handle of handles.toReversed()) handle.dispose();
    context.dispose();
  }
}

function describe(context: QuickJSContext, error: QuickJSHandle): string {
  const message = context.getProp(error, "message");
  const text =
    context.typeof(message) === "string" ? context.getString(message) : "The verifier threw no error object.";
  message.dispose();
  return text;
}

function verdictOf(answer: unknown): Verdict {
  const { verdict, reason } = (answer ?? {}) as Partial<Verdict>;
  if (verdict !== "passed" && verdict !== "failed")
    throw new Error('The verifier must answer {verdict: "passed" or "failed", reason}.');
  return { verdict, reason: String(reason ?? "").slice(0, 500) };
}

async function answer(request: SandboxRequest): Promise<SandboxReply> {
  try {
    return { id: request.id, verdict: await judge(request.source, request.evidence) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return {
      id: request.id,
      error: /interrupted/.test(message) ? "The verifier did more work than is allowed." : message,
    };
  }
}

parentPort?.on("message", (request: SandboxRequest) => {
  void answer(request).then((reply) => parentPort!.postMessage(reply));
});
