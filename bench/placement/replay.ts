// Plays a workload against the gateway as its clients would: closed loop, streamed chat calls, a session's name in the header. A
// call is sent when the calls it waits for have been answered and its gap has passed.
import { setTimeout as sleep } from "node:timers/promises";
import { events } from "../../src/engines/embedded/testing.ts";
import type { SimCall, Workload } from "../../src/simulator/types.ts";
import { Conversation, type Message } from "./conversation.ts";
import { type Live, model } from "./live.ts";

/** What happened to one call, at its place in the workload. Times in ms since the replay began. */
export interface Played {
  call: SimCall;
  /** Its prompt goes on from all of the thread's call before. */
  continues: boolean;
  messages: Message[];
  sentMs: number;
  ttftMs: number;
  endMs: number;
  promptTokens: number;
  cachedTokens: number;
  outputTokens: number;
  /** Endpoint that answered. */
  endpoint: string;
  /** Why it has no answer. */
  error?: string;
}

export async function replay(
  { at }: Live,
  workload: Workload,
  systemTokens: readonly number[],
  onProgress: (done: number, total: number) => void,
): Promise<Played[]> {
  const started = performance.now();
  const now = () => performance.now() - started;
  const threads = new Map<number, Conversation>();
  const mains = new Map<number, number>();
  const nextOf = nextInThread(workload);
  const ends: Promise<void>[] = [];
  const played: Played[] = [];

  async function play(call: SimCall): Promise<void> {
    if (!mains.has(call.program)) mains.set(call.program, call.thread);
    const system = mains.get(call.program) === call.thread ? systemTokens[call.program]! : 0;
    const thread = threads.get(call.thread) ?? new Conversation(system);
    threads.set(call.thread, thread);
    const { messages, continues } = thread.next(call);
    const one: Played = {
      call,
      continues,
      messages,
      sentMs: now(),
      ttftMs: NaN,
      endMs: NaN,
      promptTokens: 0,
      cachedTokens: 0,
      outputTokens: 0,
      endpoint: "",
    };
    played.push(one);
    const response = await fetch(`${at.address}/v1/chat/completions`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${at.key}`,
        "content-type": "application/json",
        "x-lineshaft-program": `session-${call.program}`,
      },
      body: JSON.stringify({
        model,
        messages,
        max_tokens: call.outputTokens,
        temperature: 0,
        seed: 1,
        stream: true,
        stream_options: { include_usage: true },
      }),
    });
    one.endpoint = response.headers.get("x-lineshaft-engine") ?? "";
    let text = "";
    if (!response.ok) one.error = `${response.status} ${await response.text()}`;
    else
      for await (const chunk of events(response)) {
        if (chunk.error) one.error = JSON.stringify(chunk.error);
        if (chunk.choices?.length > 0 && Number.isNaN(one.ttftMs)) one.ttftMs = now() - one.sentMs;
        text += chunk.choices?.[0]?.delta?.content ?? "";
        if (chunk.usage) {
          one.promptTokens = chunk.usage.prompt_tokens;
          one.cachedTokens = chunk.usage.prompt_tokens_details?.cached_tokens ?? 0;
          one.outputTokens = chunk.usage.completion_tokens;
        }
      }
    one.endMs = now();
    thread.answered(text, nextOf.get(call), Math.max(1, one.outputTokens));
  }

  for (const call of workload.calls)
    ends.push(
      (async () => {
        await Promise.all(call.after.map((index) => ends[index]));
        await sleep(call.after.length === 0 ? Math.max(0, call.delayMs - now()) : call.delayMs);
        await play(call);
        onProgress(played.filter(({ endMs }) => endMs > 0).length, workload.calls.length);
      })(),
    );
  await Promise.all(ends);
  return played.toSorted((a, b) => a.sentMs - b.sentMs);
}

function nextInThread({ calls }: Workload): Map<SimCall, SimCall> {
  const next = new Map<SimCall, SimCall>();
  const latest = new Map<number, SimCall>();
  for (const call of calls) {
    const before = latest.get(call.thread);
    if (before) next.set(before, call);
    latest.set(call.thread, call);
  }
  return next;
}
