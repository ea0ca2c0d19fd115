// A conversation with a model: its turns, kept in this tab through errors and visits to other pages, and the answer that is streaming
// in. Each answer is an ordinary call over /v1, which is read again after its end for its price and its exact tokens.
import { useEffect, useState, type RefObject } from "react";
import { settledCall, streamChat, type ChatMessage, type ChatUsage } from "../api/chat.ts";

export interface Turn {
  id: string;
  role: "user" | "assistant";
  content: string;
  model?: string;
  call?: string;
  usage?: ChatUsage;
  firstTokenMs?: number;
  priceNano?: string;
  currency?: string;
  ended?: "stop" | "length" | "stopped" | "failed";
}

interface Talk {
  /** Names the conversation to the scheduler, so that its turns find the KV of earlier ones. */
  program: string;
  turns: Turn[];
}

const storeName = "lineshaft.chat";
const newTalk = (): Talk => ({ program: `console-${crypto.randomUUID()}`, turns: [] });

function loadTalk(): Talk {
  try {
    const kept = JSON.parse(sessionStorage.getItem(storeName) ?? "null") as Talk | null;
    return kept !== null && Array.isArray(kept.turns) ? kept : newTalk();
  } catch {
    return newTalk();
  }
}

/** Turns without text are answers that failed, and they are not sent again. */
const isKept = (turn: Turn) => turn.content !== "";

/** `model` is the one that answers; undefined when none is served. `field` gets the focus back after an answer. */
export function useTalk(model: string | undefined, field: RefObject<HTMLTextAreaElement | null>) {
  const [talk, setTalk] = useState(loadTalk);
  const [error, setError] = useState<unknown>();
  const [stop, setStop] = useState<AbortController>();
  const { turns } = talk;

  useEffect(() => {
    if (stop === undefined) sessionStorage.setItem(storeName, JSON.stringify(talk));
  }, [talk, stop]);
  useEffect(() => () => stop?.abort(), [stop]);

  const change = (id: string, part: Partial<Turn> | ((turn: Turn) => Partial<Turn>)) =>
    setTalk((old) => ({
      ...old,
      turns: old.turns.map((turn) =>
        turn.id === id ? { ...turn, ...(typeof part === "function" ? part(turn) : part) } : turn,
      ),
    }));

  const answer = async (asked: Turn[]) => {
    if (model === undefined) return;
    const id = crypto.randomUUID();
    const abort = new AbortController();
    setError(undefined);
    setStop(abort);
    setTalk((old) => ({ ...old, turns: [...asked, { id, role: "assistant", content: "", model }] }));
    const began = performance.now();
    let first: number | undefined;
    let call: string | undefined;
    try {
      const ended = await streamChat({
        model,
        messages: asked.map((turn): ChatMessage => ({ role: turn.role, content: turn.content })),
        program: talk.program,
        signal: abort.signal,
        onCall: (made) => {
          call = made;
          change(id, { call: made });
        },
        onText: (text) => {
          first ??= performance.now() - began;
          change(id, (turn) => ({ content: turn.content + text, firstTokenMs: first! }));
        },
      });
      change(id, {
        ended: ended.finishReason === "length" ? "length" : "stop",
        ...(ended.usage === undefined ? {} : { usage: ended.usage }),
      });
    } catch (problem) {
      if (abort.signal.aborted) change(id, { ended: "stopped" });
      else {
        change(id, { ended: "failed" });
        setError(problem);
      }
    } finally {
      setStop(undefined);
      field.current?.focus({ preventScroll: true });
    }
    if (call === undefined) return;
    const settled = await settledCall(call);
    if (settled !== undefined) {
      change(id, {
        priceNano: settled.price_nano,
        currency: settled.currency,
        usage: { prompt: settled.prompt_tokens, cached: settled.cached_tokens, output: settled.output_tokens },
        ...(settled.first_token_ms === null ? {} : { firstTokenMs: settled.first_token_ms }),
      });
    }
  };

  return {
    turns,
    error,
    isAnswering: stop !== undefined,
    send: (text: string) => {
      const said: Turn = { id: crypto.randomUUID(), role: "user", content: text };
      void answer([...turns.filter(isKept), said]);
    },
    /** Asks the last question again, without the answer that failed or was stopped. */
    again: () => {
      const last = turns.findLastIndex((turn) => turn.role === "user");
      if (last !== -1) void answer(turns.slice(0, last + 1).filter(isKept));
    },
    stop: () => stop?.abort(),
    restart: () => {
      stop?.abort();
      setTalk(newTalk());
      setError(undefined);
    },
  };
}
