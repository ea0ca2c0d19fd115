// Payloads: JSON with colours, a conversation as its messages. Long ones are folded until they are opened.
import { useState, type ReactNode } from "react";
import { pretty } from "../format.ts";
import { CopyButton } from "./text.tsx";
import "./json.css";

const foldLines = 24;

export function Payload({ value, label }: { value: unknown; label: string }) {
  const [open, setOpen] = useState(false);
  const text = pretty(value);
  const lines = text.split("\n");
  const folded = !open && lines.length > foldLines + 4;
  if (value === undefined || value === null) return <p className="muted payload-none">Nothing</p>;
  return (
    <div className="payload">
      <div className="payload-copy">
        <CopyButton text={text} label={`Copy ${label}`} />
      </div>
      <pre tabIndex={0} aria-label={label}>
        {typeof value === "string"
          ? folded
            ? lines.slice(0, foldLines).join("\n")
            : text
          : colour(folded ? lines.slice(0, foldLines).join("\n") : text)}
      </pre>
      {folded ? (
        <button type="button" className="payload-more" onClick={() => setOpen(true)}>
          Show all {lines.length} lines
        </button>
      ) : null}
    </div>
  );
}

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;

function colour(text: string): ReactNode[] {
  const parts: ReactNode[] = [];
  let at = 0;
  for (const match of text.matchAll(token)) {
    if (match.index > at) parts.push(text.slice(at, match.index));
    const [all, string, colon, word] = match;
    const kind =
      string === undefined
        ? word === undefined
          ? "json-number"
          : "json-word"
        : colon === undefined
          ? "json-string"
          : "json-key";
    parts.push(
      <span key={match.index} className={kind}>
        {string ?? all}
      </span>,
    );
    if (colon !== undefined) parts.push(colon);
    at = match.index + all.length;
  }
  parts.push(text.slice(at));
  return parts;
}

interface Message {
  role: string;
  content?: unknown;
  tool_calls?: unknown;
}

/** The messages of a chat body, or of a bare list of messages. Undefined for any other value. */
export function messagesOf(value: unknown): Message[] | undefined {
  const list = Array.isArray(value) ? value : (value as { messages?: unknown } | null)?.messages;
  if (!Array.isArray(list) || list.length === 0) return undefined;
  return list.every((item) => typeof (item as Message | null)?.role === "string") ? (list as Message[]) : undefined;
}

export function Conversation({ messages }: { messages: Message[] }) {
  return (
    <ol className="conversation">
      {messages.map((message, index) => (
        <li key={index}>
          <span className="conversation-role">{message.role}</span>
          <div>
            {typeof message.content === "string" ? (
              <p>{message.content}</p>
            ) : message.content === undefined || message.content === null ? null : (
              <Payload value={message.content} label={`${message.role} message`} />
            )}
            {message.tool_calls === undefined ? null : <Payload value={message.tool_calls} label="tool calls" />}
          </div>
        </li>
      ))}
    </ol>
  );
}
