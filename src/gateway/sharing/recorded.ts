// A stream of a call that makes no attempt: it is recorded when its reader has seen the end, leaves, or is told of a failure.
import type { LineshaftError } from "../../errors/index.ts";
import { asLineshaftError } from "../errors.ts";
import { clientGone, whyAborted } from "../refusals.ts";
import type { CallState, Outcome } from "../state.ts";
import type { AnswerChunk } from "../types.ts";

/** `end` is called exactly once, before the reader sees the end. A reader that has gone ends the call also while nothing is read. */
export function recorded(
  call: CallState,
  chunks: AsyncIterable<AnswerChunk>,
  end: (outcome: Outcome, failure?: LineshaftError, finishReason?: string) => Promise<void>,
): AsyncIterable<AnswerChunk> {
  let ended: Promise<void> | undefined;
  const once = (...how: Parameters<typeof end>) => (ended ??= end(...how));
  const onAbort = () => void once("cancelled", whyAborted(call.signal));
  call.signal.addEventListener("abort", onAbort, { once: true });
  if (call.signal.aborted) onAbort();
  return read();

  async function* read(): AsyncGenerator<AnswerChunk, void> {
    let finish: string | undefined;
    try {
      for await (const chunk of chunks) {
        if (call.signal.aborted) throw whyAborted(call.signal);
        call.firstTokenMs ??= call.now();
        finish ??= chunk.deltas[0]?.finish;
        yield chunk;
      }
      await once("completed", undefined, finish);
    } catch (error) {
      const failure = call.signal.aborted ? whyAborted(call.signal) : asLineshaftError(error);
      await once(call.signal.aborted ? "cancelled" : "failed", failure);
      throw failure;
    } finally {
      call.signal.removeEventListener("abort", onAbort);
      await once("cancelled", clientGone());
    }
  }
}
