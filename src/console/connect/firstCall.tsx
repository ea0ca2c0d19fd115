// The light of the Connect page. It waits for the first call of a key, which a live event tells, and turns green when it arrives.
import { Link } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import type { Call } from "../../contract/index.ts";
import { onLiveEvent } from "../api/live.ts";
import { duration } from "../format.ts";
import { remedyOf, wordOf } from "../screens/words.ts";
import { shortId, StateMark } from "../ui/text.tsx";

/** The newest call of a key since the page was opened. A refused call is shown until one completes. */
export function useFirstCall(key: string | undefined): Call | undefined {
  const [call, setCall] = useState<Call>();
  useEffect(() => {
    if (key === undefined) return;
    return onLiveEvent((event) => {
      if (event.type !== "call" || event.call.key !== key) return;
      setCall((old) => (old?.key === key && old.status === "completed" ? old : event.call));
    });
  }, [key]);
  return call?.key === key ? call : undefined;
}

export function FirstCall({ made, call }: { made: { name: string } | undefined; call: Call | undefined }) {
  return (
    <p className="first-call" role="status">
      {made === undefined ? (
        <StateMark state="idle" label="This light turns green when the first call with the key arrives" />
      ) : call === undefined ? (
        <StateMark state="waiting" label={`Waiting for the first call with the key ${made.name}`} />
      ) : (
        <>
          <StateMark
            state={call.status}
            label={call.status === "completed" ? "The first call arrived" : `A call arrived and was ${call.status}`}
          />
          <span className="soft">
            {call.error_code === null
              ? `${call.model}, ${duration(call.duration_ms)}`
              : [wordOf(call.error_code), remedyOf(call.error_code)].filter(Boolean).join(". ")}
          </span>
          <Link to="/calls/$id" params={{ id: call.id }} className="text mono">
            {shortId(call.id)}
          </Link>
        </>
      )}
    </p>
  );
}
