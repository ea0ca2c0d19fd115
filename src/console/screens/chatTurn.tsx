// One turn of a conversation: what the person wrote, or an answer with its tokens, its times and its price.
import { Link } from "@tanstack/react-router";
import { duration, full, money, moneyFull } from "../format.ts";
import { Prose } from "../ui/prose.tsx";
import { CopyButton } from "../ui/text.tsx";
import type { Turn } from "./talk.ts";

export function TurnView({ turn, live }: { turn: Turn; live: boolean }) {
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
