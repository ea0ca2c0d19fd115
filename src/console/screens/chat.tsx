// A conversation with a served model, as any client would have it over /v1. Each answer says what it used and cost.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef, useState, type RefObject } from "react";
import { statusQuery, textModels } from "../api/queries.ts";
import { SendIcon, StopIcon } from "../ui/icons.tsx";
import { PageHead } from "../ui/page.tsx";
import { Empty, Failure, SkeletonRows } from "../ui/states.tsx";
import { TurnView } from "./chatTurn.tsx";
import { useTalk } from "./talk.ts";
import "./chat.css";

/** How close to the end of the page, in pixels, it is scrolled along with an answer. */
const nearEndPixels = 160;
const nearEnd = () => window.innerHeight + window.scrollY > document.documentElement.scrollHeight - nearEndPixels;

export function ChatScreen() {
  const { model: wanted } = useSearch({ from: "/chat" });
  const status = useQuery(statusQuery);
  const end = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const models = textModels(status.data);
  const model = wanted !== undefined && models.includes(wanted) ? wanted : models[0];
  const talk = useTalk(model, field);
  const { turns } = talk;

  useEffect(() => {
    if (nearEnd()) end.current?.scrollIntoView({ block: "end" });
  }, [turns]);

  return (
    <div className="chat">
      <PageHead title="Chat" note="With a served model, over /v1 as any client">
        {turns.length === 0 ? null : (
          <button
            type="button"
            className="button"
            onClick={() => {
              talk.restart();
              field.current?.focus();
            }}
          >
            New conversation
          </button>
        )}
      </PageHead>
      <div className="chat-talk" aria-live="polite" aria-busy={talk.isAnswering}>
        {status.data === undefined ? (
          status.error === null ? (
            <SkeletonRows rows={3} />
          ) : (
            <Failure error={status.error} retry={() => void status.refetch()} />
          )
        ) : model === undefined ? (
          <Empty title="No model is served" command="npx lineshaft models">
            The list shows the models that can be served. A running engine is added with lineshaft engines add.
          </Empty>
        ) : turns.length === 0 ? (
          <Empty title={`Talk with ${model}`}>
            Each answer shows its tokens, how many were cached, the time to its first token and its price. It is an
            ordinary call: it counts, costs and is listed under Calls.
          </Empty>
        ) : (
          turns.map((turn) => <TurnView key={turn.id} turn={turn} live={talk.isAnswering && turn === turns.at(-1)} />)
        )}
        <div ref={end} className="chat-end" />
      </div>
      <div className="chat-foot">
        {talk.error === undefined ? null : (
          <div className="panel chat-error">
            <Failure error={talk.error} retry={talk.again} />
          </div>
        )}
        <Composer talk={talk} field={field} model={model} models={models} />
      </div>
    </div>
  );
}

interface ComposerProps {
  talk: ReturnType<typeof useTalk>;
  field: RefObject<HTMLTextAreaElement | null>;
  model: string | undefined;
  models: string[];
}

function Composer({ talk, field, model, models }: ComposerProps) {
  const navigate = useNavigate({ from: "/chat" });
  const [draft, setDraft] = useState("");
  const send = () => {
    const text = draft.trim();
    if (text === "" || talk.isAnswering || model === undefined) return;
    setDraft("");
    talk.send(text);
  };
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
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
            send();
          } else if (event.key === "Escape") {
            if (!talk.isAnswering) event.currentTarget.blur();
            else talk.stop();
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
        {!talk.isAnswering ? (
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
            onClick={talk.stop}
          >
            <StopIcon fill="currentColor" />
          </button>
        )}
      </div>
    </form>
  );
}
