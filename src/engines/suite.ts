// What every implementation of the engine seam does. An implementation's test calls `engineSuite` with a subject: the engine, and a way
// to say how it answers its next call. An engine whose KV cache can be seen or steered passes `kvSuite` (kvSuite.ts) as well.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { limits as egressLimits } from "../egress/limits.ts";
import type { Engine } from "./engine.ts";
import { limits } from "./limits.ts";
import { chatCases, completionRequest } from "./testing/cases.ts";
import type { WireCases } from "./testing/cases.ts";
import { WholeAnswer } from "./wire/chat/assemble.ts";
import type { Script, SeenRequest } from "./testing.ts";
import { EngineError, type EngineAnswer, type EngineRequest } from "./types.ts";

interface EngineSubject extends AsyncDisposable {
  engine: Engine;
  /** The key or token that it is given: no error may repeat it. At least eight characters. */
  credential: string;
  /** Its next calls are answered by these, in order. */
  next(...scripts: Script[]): void;
  /** Calls that have arrived. */
  seen: readonly SeenRequest[];
  /** From now on nothing answers at its address. */
  leave(): PromiseLike<void>;
  /** Questions beside calls (models, status, tokens) are not answered any more. */
  silence(): void;
}

/** The subject that is an engine and the scripted server that it asks. */
export const scriptedSubject = (
  engine: Engine,
  credential: string,
  server: Pick<EngineSubject, "next" | "seen" | "silence"> & AsyncDisposable,
): EngineSubject => ({
  engine,
  credential,
  next: server.next,
  seen: server.seen,
  leave: () => server[Symbol.asyncDispose](),
  silence: server.silence,
  [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
});

const never = new Promise<void>(() => {});
/** The text of an answer, however it comes. */
async function read(answer: EngineAnswer, stream: boolean): Promise<string> {
  if (!stream) return (await answer.whole()).deltas.map(({ text = "" }) => text).join("");
  let text = "";
  for await (const { deltas } of answer.chunks) for (const delta of deltas) text += delta.text ?? "";
  return text;
}

/** Reads a stream as far as its first text. */
async function untilText({ chunks }: EngineAnswer): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await iterator.next();
    if (done || value.deltas.some(({ text }: { text?: string }) => text)) return;
  }
}

const events = (...data: unknown[]): Script => ({
  raw: {
    contentType: "text/event-stream",
    body: data.map((one) => `data: ${typeof one === "string" ? one : JSON.stringify(one)}\n\n`).join(""),
  },
});
interface Expected {
  status: number;
  code: string;
  retryable: boolean;
}

/** Answers instead of an answer, and the error that each one is. */
const refusals: [string, Script, Expected][] = [
  ["out of credit", { fail: { status: 402 } }, { status: 429, code: "engine_quota", retryable: true }],
  ["too busy", { fail: { status: 429 } }, { status: 429, code: "engine_busy", retryable: true }],
  ["failing", { fail: { status: 500 } }, { status: 502, code: "engine_failed", retryable: true }],
  ["overloaded", { fail: { status: 503 } }, { status: 503, code: "engine_failed", retryable: true }],
  ["a refused key", { fail: { status: 401 } }, { status: 502, code: "engine_auth_failed", retryable: true }],
  ["an unknown model", { fail: { status: 404 } }, { status: 502, code: "engine_model_missing", retryable: true }],
  [
    "a redirect",
    { fail: { status: 307, headers: { location: "http://169.254.169.254/" } } },
    { status: 502, code: "engine_redirected", retryable: true },
  ],
  [
    "the request's own fault",
    { fail: { status: 422, body: { detail: "bad field" } } },
    { status: 400, code: "invalid_request", retryable: false },
  ],
  [
    "a prompt that is too long",
    { fail: { status: 400, body: { error: { message: "This model's maximum context length is 16 tokens." } } } },
    { status: 400, code: "context_length_exceeded", retryable: false },
  ],
  ["a closed connection", { cut: "before" }, { status: 502, code: "engine_unreachable", retryable: true }],
];

/** Answers that cannot be read. */
const garbage: [string, Script, Expected][] = [
  ["HTML", { raw: { body: "<html>" } }, { status: 502, code: "engine_invalid_answer", retryable: true }],
  ["JSON that is no object", { raw: { body: "[1]" } }, { status: 502, code: "engine_invalid_answer", retryable: true }],
  ["no choices", { raw: { body: "{}" } }, { status: 502, code: "engine_invalid_answer", retryable: true }],
  [
    "an error with status 200",
    { raw: { body: '{"error":{"message":"oom"}}' } },
    { status: 502, code: "engine_failed", retryable: true },
  ],
  [
    "more bytes than an answer may have",
    { raw: { body: `{"choices":[{"message":{"content":"${"x".repeat(limits.answerBytes)}"}}]}` } },
    { status: 502, code: "engine_invalid_answer", retryable: true },
  ],
  [
    "more values than an answer may have",
    { raw: { body: `{"choices":[${"{},".repeat(limits.jsonValues)}{}]}` } },
    { status: 502, code: "engine_invalid_answer", retryable: true },
  ],
];

/** `cases`: what differs in the API that the engine is asked by. */
export function engineSuite(name: string, make: () => Promise<EngineSubject>, cases: WireCases = chatCases): void {
  const { request: ask, events: piecesOf, failure, lies } = cases;
  /** Every way in which a call can be asked. */
  const requests = cases === chatCases ? [ask, completionRequest] : [ask];
  describe(`${name} is an engine`, () => {
    let subject: EngineSubject;
    beforeEach(async () => void (subject = await make()));
    afterEach(async () => {
      await subject.engine.close();
      await subject[Symbol.asyncDispose]();
    });
    const open = (request: EngineRequest, signal?: AbortSignal) => subject.engine.open(request, signal);

    describe.each([false, true])("a call (stream: %s)", (stream) => {
      test("is answered with its text and the engine's own usage", async () => {
        for (const request of requests) {
          subject.next({ chunks: ["one ", "two"], usage: { prompt: 9, cached: 4, output: 2 } });
          const answer = await open(request(stream));
          expect(await read(answer, stream)).toBe("one two");
          expect(answer.usage()).toMatchObject({
            promptTokens: 9,
            cachedTokens: 4,
            outputTokens: 2,
            reasoningTokens: 0,
            source: "engine",
          });
          expect(await answer.cancel()).toEqual(answer.usage());
        }
      });

      test("whose engine is silent about usage is counted by what passed", async () => {
        subject.next({ chunks: ["12345678"], usage: null });
        const answer = await open(ask(stream));
        await read(answer, stream);
        expect(answer.usage()).toMatchObject({ outputTokens: 2, source: "counted" });
        expect(answer.usage()!.promptTokens).toBeGreaterThan(0);
      });

      test("has the tool calls and the finish that the engine gave it", async () => {
        subject.next({ toolCalls: [{ name: "weigh", arguments: '{"kg":1}' }] });
        const answer = await open(ask(stream));
        const tool = { name: "", arguments: "", finish: "" };
        const chunks = stream ? answer.chunks : [await answer.whole()];
        for await (const { deltas } of chunks)
          for (const { toolCalls = [], finish } of deltas) {
            for (const call of toolCalls) {
              tool.name += call.name ?? "";
              tool.arguments += call.arguments ?? "";
            }
            tool.finish = finish ?? tool.finish;
          }
        expect(tool).toEqual({ name: "weigh", arguments: '{"kg":1}', finish: "tool_calls" });
      });

      test.each(refusals)(
        "that is refused (%s) is an EngineError before the answer begins",
        async (_, script, error) => {
          subject.next(script);
          const failed = open(ask(stream));
          await expect(failed).rejects.toBeInstanceOf(EngineError);
          await expect(failed).rejects.toMatchObject(error);
        },
      );

      test.each(garbage)("whose answer cannot be read (%s) fails", async (_, script, error) => {
        subject.next(script);
        const failed = open(ask(stream)).then((answer) => read(answer, stream));
        // A stream that was answered by JSON alone is refused before it is read, with what the JSON says.
        await expect(failed).rejects.toMatchObject(stream ? { status: 502, retryable: true } : error);
      });

      test("is given up before it is sent", async () => {
        const opening = open(ask(stream), AbortSignal.abort());
        const given = await opening.then(
          (answer) => answer.cancel().then(() => "cancelled"),
          (error) => error.code,
        );
        expect(["aborted", "cancelled"]).toContain(given);
      });

      test("is given up before its answer begins: the engine is told, or sees its connection close", async () => {
        subject.next({ wait: never, chunks: ["late"] });
        const stop = new AbortController();
        const opening = open(ask(stream), stop.signal);
        await expect.poll(() => subject.seen.length).toBe(1);
        stop.abort();
        const outcome = await opening.then(
          async (answer) => (await answer.cancel())?.source,
          (error: EngineError) => error.code,
        );
        if (outcome === "aborted") await subject.seen[0]!.gone;
        else expect(outcome).toBe("engine");
      });

      test("whose engine does not begin in time fails with engine_timeout", async () => {
        // The first question of some engines is not the call itself, and has its whole time.
        await subject.engine.probe();
        const usual = egressLimits.firstByteMs;
        (egressLimits as { firstByteMs: number }).firstByteMs = 50;
        try {
          subject.next({ wait: never });
          await expect(open(ask(stream))).rejects.toMatchObject({
            status: 504,
            code: "engine_timeout",
            retryable: true,
          });
        } finally {
          (egressLimits as { firstByteMs: number }).firstByteMs = usual;
        }
      });

      test("to an address where nothing answers is unreachable", async () => {
        await subject.engine.probe();
        await subject.leave();
        await expect(open(ask(stream))).rejects.toMatchObject({ code: "engine_unreachable", retryable: true });
      });
    });

    test.each(lies)("usage that lies (%s) is bounded or counted anew", async (_, body, expected) => {
      subject.next({ raw: { body: JSON.stringify(body) } });
      const answer = await open(ask(false));
      await answer.whole();
      expect(answer.usage()).toMatchObject(expected);
    });

    describe("a stream", () => {
      test("that is cut in the middle throws what can be tried again, and is counted by what passed", async () => {
        subject.next({ chunks: ["12345678", "never"], cut: 1 });
        const answer = await open(ask(true));
        await expect(read(answer, true)).rejects.toMatchObject({ status: 502, retryable: true });
        // The count is the engine's own where it counts while it streams.
        expect(answer.usage()).toMatchObject({ outputTokens: 2 });
      });

      test("is what the engine sends whole, once it is put together", async () => {
        if (cases !== chatCases) return;
        const scripts: Script[] = [
          { chunks: ["one ", "two"], usage: { prompt: 9, cached: 4, output: 2 } },
          { toolCalls: [{ name: "weigh", arguments: '{"kg":1}' }] },
        ];
        for (const request of requests)
          for (const script of scripts) {
            subject.next(script, script);
            const put = new WholeAnswer(request === ask ? "chat" : "completions");
            for await (const chunk of (await open(request(true))).chunks) put.add(chunk);
            const sent = await (await open(request(false))).whole();
            expect(withoutNulls(put.whole().wire.data)).toEqual(withoutNulls(sent.wire.data));
          }
      });

      test("that its engine can stop is counted while it comes", async () => {
        if ((await subject.engine.probe()).capabilities.stops !== true) return;
        subject.next({ chunks: ["12345678", "rest"], wait: never, waitAfter: 1 });
        const answer = await open(ask(true));
        await untilText(answer);
        expect(answer.outputSoFar()).toBeGreaterThanOrEqual(2);
        await answer.cancel();
      });

      test("that ends without a finish is cut, and one with a finish has ended, with or without [DONE]", async () => {
        subject.next(events(...piecesOf("a", false)), events(...piecesOf("a", true)));
        await expect(read(await open(ask(true)), true)).rejects.toMatchObject({ code: "engine_stream_cut" });
        expect(await read(await open(ask(true)), true)).toBe("a");
      });

      test("with an error inside throws it", async () => {
        subject.next(events(...piecesOf("a", false), failure.event));
        const { code } = failure;
        await expect(read(await open(ask(true)), true)).rejects.toMatchObject({ code, message: "boom" });
      });

      test("of garbage, and one with an event that is too long, cannot be read", async () => {
        subject.next(events("{"), events(`{"a":"${"x".repeat(limits.eventBytes)}"}`));
        for (let call = 0; call < 2; call++)
          await expect(read(await open(ask(true)), true)).rejects.toMatchObject({ code: "engine_invalid_answer" });
      });

      test("that is cancelled in the middle ends, and its usage is what passed or what the engine says", async () => {
        subject.next({ chunks: ["12345678", "rest"], wait: never, waitAfter: 1 });
        const answer = await open(ask(true));
        await untilText(answer);
        const usage = await answer.cancel();
        expect(usage!.outputTokens).toBeGreaterThan(0);
        if (usage!.source === "counted") await subject.seen[0]!.gone;
        expect(await answer.cancel()).toEqual(usage);
      });
    });

    test("no error repeats its credential", async () => {
      const quoted = {
        error: { message: `Incorrect API key provided: ${subject.credential}`, code: subject.credential },
      };
      for (const status of [400, 401, 500]) {
        subject.next({ fail: { status, body: quoted } });
        const error = await open(ask(false)).catch((thrown: unknown) => thrown as EngineError);
        expect(error).toBeInstanceOf(EngineError);
        const { message, hint, code, param } = error as EngineError;
        expect(JSON.stringify({ message, hint, code, param })).not.toContain(subject.credential);
      }
      const failed = JSON.stringify(failure.event).replaceAll("boom", `boom ${subject.credential}`);
      subject.next(events(...piecesOf("a", false), failed));
      const error = await read(await open(ask(true)), true).catch((thrown: unknown) => thrown as EngineError);
      expect((error as EngineError).message).toContain("boom");
      expect((error as EngineError).message).not.toContain(subject.credential);
    });

    test("says what it is, and fails with EngineError where nothing answers or nothing is said in time", async () => {
      const facts = await subject.engine.probe();
      expect(facts.models).toContain("scripted");
      expect(typeof facts.capabilities.tokenize).toBe("boolean");
      expect(typeof facts.capabilities.kvEvents).toBe("boolean");
      const usual = limits.questionMs;
      (limits as { questionMs: number }).questionMs = 50;
      try {
        subject.silence();
        await expect(subject.engine.probe()).rejects.toMatchObject({ code: "engine_timeout" });
      } finally {
        (limits as { questionMs: number }).questionMs = usual;
      }
      await subject.leave();
      await expect(subject.engine.probe()).rejects.toBeInstanceOf(EngineError);
    });

    test("counts a prompt's tokens, or says that it cannot, and never throws", async () => {
      const { capabilities } = await subject.engine.probe();
      const counted = await subject.engine.tokenize(cases.shape, ask(false).body, "prj_1");
      expect(counted === undefined).toBe(!capabilities.tokenize);
      if (counted?.tokens) expect(counted.tokens).toHaveLength(counted.count);
      await subject.leave();
      await expect(subject.engine.tokenize(cases.shape, ask(false).body, "prj_1")).resolves.toBeUndefined();
    });

    test("closes as often as it is told, and calls under way go on", async () => {
      const held = Promise.withResolvers<void>();
      subject.next({ chunks: ["a", "b"], wait: held.promise, waitAfter: 1 });
      const answer = await open(ask(true));
      await subject.engine.close();
      await subject.engine.close();
      held.resolve();
      expect(await read(answer, true)).toBe("ab");
    });
  });
}

/** Data without fields that are null, and without what differs between two answers. Engines write some fields in whole answers alone. */
function withoutNulls(data: unknown): unknown {
  return JSON.parse(
    JSON.stringify(data, (name, value: unknown) =>
      value === null || name === "id" || name === "created" || name === "lineshaft" ? undefined : value,
    ),
  );
}
