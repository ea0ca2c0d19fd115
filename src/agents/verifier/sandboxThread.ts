// The thread of sandbox.ts: one verdict at a time, each in a QuickJS of its own: a fresh WebAssembly instance with its own memory, thrown
// away afterwards. What a verifier breaks is broken for it alone.
import { readFileSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { newQuickJSWASMModuleFromVariant, newVariant, RELEASE_SYNC } from "quickjs-emscripten";
import type { QuickJSContext, QuickJSHandle, QuickJSRuntime, QuickJSWASMModule } from "quickjs-emscripten";
import { limits } from "../limits.ts";
import type { SandboxRequest, Verdict } from "./sandbox.ts";

type ContextResult = ReturnType<QuickJSContext["evalCode"]>;

/** What would make a verdict depend on anything but the evidence is not there. */
const prelude = `delete globalThis.Date; delete Math.random; delete globalThis.performance;`;

// Compiled once; an instance of it takes a few milliseconds.
const wasmModule = await WebAssembly.compile(
  readFileSync(new URL(import.meta.resolve("@jitl/quickjs-wasmfile-release-sync/wasm"))),
);
const instance = (): Promise<QuickJSWASMModule> =>
  newQuickJSWASMModuleFromVariant(newVariant(RELEASE_SYNC, { wasmModule }));
/** The instance for the next verdict, made before it is asked for. */
let next = instance();

function judge(quickjs: QuickJSWASMModule, { source, evidence }: SandboxRequest): Verdict {
  const runtime = quickjs.newRuntime();
  try {
    return judgeIn(runtime, source, evidence);
  } finally {
    try {
      runtime.dispose();
    } catch {
      // What could not be disposed of goes with its instance.
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

/** What the verifier is answered with. All that it throws is its own. */
function answer(quickjs: QuickJSWASMModule, task: SandboxRequest): { result: Verdict } | { error: string } {
  try {
    return { result: judge(quickjs, task) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const tooMuch = /interrupted/.test(message);
    return { error: tooMuch ? "The verifier did more work than is allowed." : message.slice(0, 500) };
  }
}

async function serve(task: SandboxRequest): Promise<void> {
  const quickjs = await next;
  const reply = answer(quickjs, task);
  next = instance();
  parentPort!.postMessage(reply);
}

// An instance that cannot be made (no memory is left) is no fault of a verifier: the rejection is not caught and ends the thread, so the
// pool tells the task that its thread broke, and the next task gets a thread that begins anew.
parentPort!.on("message", ({ task }: { task: SandboxRequest }) => void serve(task));
await next;
parentPort!.postMessage("ready");
