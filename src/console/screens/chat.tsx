// A conversation with a served model, as any client would have it over /v1: each answer says what it used and cost. The
// conversation is kept in this tab, through errors and through looking at other pages.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { settledCall, streamChat, type ChatMessage, type ChatUsage } from "../api/chat.ts";
import { statusQuery } from "../api/queries.ts";
import { duration, full, money, moneyFull } from "../format.ts";
import { SendIcon, StopIcon } from "../ui/icons.tsx";
import { PageHead } from "../ui/page.tsx";
import { Prose } from "../ui/prose.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { CopyButton } from "../ui/text.tsx";
import "./chat.css";

interface Turn {
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

export function ChatScreen() {
  const { model: wanted } = useSearch({ from: "/chat" });
  const navigate = useNavigate({ from: "/chat" });
  const status = useQuery(statusQuery);
  const [talk, setTalk] = useState(loadTalk);
  const [draft, setDraft] = useState("");
  const [error, setError] = useState<unknown>();
  const [stop, setStop] = useState<AbortController>();
  const end = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const models = (status.data?.deployments ?? []).map((each) => each.name);
  const model = wanted !== undefined && models.includes(wanted) ? wanted : models[0];

  useEffect(() => {
    if (stop === undefined) sessionStorage.setItem(storeName, JSON.stringify(talk));
  }, [talk, stop]);
  useEffect(() => {
    if (nearEnd()) end.current?.scrollIntoView({ block: "end" });
  }, [talk]);
  useEffect(() => () => stop?.abort(), [stop]);

  const change = (id: string, part: Partial<Turn> | ((turn: Turn) => Partial<Turn>)) =>
    setTalk((old) => ({
      ...old,
      turns: old.turns.map((turn) =>
        turn.id === id ? { ...turn, ...(typeof part === "function" ? part(turn) : part) } : turn,
      ),
    }));

  const answer = async (turns: Turn[]) => {
    if (model === undefined) return;
    const id = crypto.randomUUID();
    const abort = new AbortController();
    setError(undefined);
    setStop(abort);
    setTalk((old) => ({ ...old, turns: [...turns, { id, role: "assistant", content: "", model }] }));
    const began = performance.now();
    let first: number | undefined;
    let call: string | undefined;
    try {
      const ended = await streamChat({
        model,
        messages: turns
          .filter((turn) => turn.content !== "")
          .map((turn): ChatMessage => ({ role: turn.role, content: turn.content })),
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

  const sendDraft = () => {
    const text = draft.trim();
    if (text === "" || stop !== undefined || model === undefined) return;
    setDraft("");
    void answer([...talk.turns.filter(isKept), { id: crypto.randomUUID(), role: "user", content: text }]);
  };
  /** Asks the last question again, without the answer that failed or was stopped. */
  const again = () => {
    const last = talk.turns.findLastIndex((turn) => turn.role === "user");
    if (last !== -1) void answer(talk.turns.slice(0, last + 1).filter(isKept));
  };

  return (
    <div className="chat">
      <PageHead title="Chat" note="With a served model, over /v1 as any client">
        {talk.turns.length === 0 ? null : (
          <button
            type="button"
            className="button"
            onClick={() => {
              stop?.abort();
              setTalk(newTalk());
              setError(undefined);
              field.current?.focus();
            }}
          >
            New conversation
          </button>
        )}
      </PageHead>
      <div className="chat-talk" aria-live="polite" aria-busy={stop !== undefined}>
        {status.data === undefined ? (
          status.error === null ? (
            <SkeletonRows rows={3} />
          ) : (
            <Failure error={status.error} retry={() => void status.refetch()} />
          )
        ) : model === undefined ? (
          <Empty title="No model is served" command="npx lineshaft models">
            The list shows which can be taken; a running engine is added with lineshaft engines add.
          </Empty>
        ) : talk.turns.length === 0 ? (
          <Empty title={`Talk with ${model}`}>
            Each answer shows its tokens, how many were cached, the time to its first token and its price. It is an
            ordinary call: it counts, costs and is listed under Calls.
          </Empty>
        ) : (
          talk.turns.map((turn) => (
            <TurnView key={turn.id} turn={turn} live={stop !== undefined && turn === talk.turns.at(-1)} />
          ))
        )}
        <div ref={end} className="chat-end" />
      </div>
      <div className="chat-foot">
        {error === undefined ? null : (
          <div className="panel chat-error">
            <Failure error={error} retry={again} />
          </div>
        )}
        <form
          className="composer"
          onSubmit={(event) => {
            event.preventDefault();
            sendDraft();
          }}
        >
          <textarea
            ref={field}
            rows={1}
            aria-label="Message"
            placeholder={model === undefined ? "No model is served" : `Ask ${model}`}
            value={draft}
            autoFocus
            onChange={(event) => setDraft(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
                event.preventDefault();
                sendDraft();
              } else if (event.key === "Escape") {
                if (stop === undefined) event.currentTarget.blur();
                else stop.abort();
              }
            }}
          />
          <div className="composer-foot">
            <label className="composer-model">
              <span className="spoken">Model</span>
              <select
                value={model ?? ""}
                disabled={models.length < 2}
                onChange={(event) => void navigate({ search: { model: event.target.value }, replace: true })}
              >
                {models.map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
            <span className="muted composer-keys">
              <kbd>Enter</kbd> sends, <kbd>Shift</kbd> <kbd>Enter</kbd> new line
            </span>
            {stop === undefined ? (
              <button
                type="submit"
                className="button primary composer-send"
                disabled={draft.trim() === "" || model === undefined}
                aria-label="Send"
              >
                <SendIcon />
              </button>
            ) : (
              <button
                type="button"
                className="button composer-send"
                aria-label="Stop"
                data-tip="Stop (Esc)"
                onClick={() => stop.abort()}
              >
                <StopIcon fill="currentColor" />
              </button>
            )}
          </div>
        </form>
      </div>
    </div>
  );
}

/** Empty answers of failed attempts are not sent again. */
const isKept = (turn: Turn) => turn.content !== "";
const nearEnd = () => window.innerHeight + window.scrollY > document.documentElement.scrollHeight - 160;

function TurnView({ turn, live }: { turn: Turn; live: boolean }) {
  if (turn.role === "user") {
    return (
      <div className="turn user">
        <p>{turn.content}</p>
      </div>
    );
  }
  return (
    <div className={live ? "turn assistant live" : "turn assistant"}>
      {turn.content === "" ? live ? <p className="muted">Reading the prompt</p> : null : <Prose text={turn.content} />}
      {live ? null : <TurnFacts turn={turn} />}
    </div>
  );
}

function TurnFacts({ turn }: { turn: Turn }) {
  const { usage } = turn;
  return (
    <div className="turn-facts num">
      {turn.ended === "stopped" ? (
        <span className="warn">stopped</span>
      ) : turn.ended === "failed" ? (
        <span className="bad">broke off</span>
      ) : turn.ended === "length" ? (
        <span className="warn">cut: longest answer reached</span>
      ) : null}
      {usage === undefined ? null : (
        <>
          <span data-tip={`${full(usage.prompt)} prompt tokens, of which ${full(usage.cached)} were cached`}>
            {full(usage.prompt)} prompt, {full(usage.cached)} cached
          </span>
          <span>{full(usage.output)} output</span>
        </>
      )}
      {turn.firstTokenMs === undefined ? null : (
        <span data-tip="Time to first token">first token {duration(turn.firstTokenMs)}</span>
      )}
      {turn.priceNano === undefined ? null : (
        <span data-tip={`${moneyFull(turn.priceNano)} ${turn.currency ?? ""}`}>
          {money(turn.priceNano, turn.currency ?? "")}
        </span>
      )}
      {turn.call === undefined ? null : (
        <Link to="/calls/$id" params={{ id: turn.call }} className="text">
          Call
        </Link>
      )}
      {turn.content === "" ? null : <CopyButton text={turn.content} label="Copy answer" />}
    </div>
  );
}
