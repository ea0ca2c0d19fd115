// Whether what is shown is live: a mark beside the navigation, and a line over the page while the event stream is lost.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import { liveState, reconnectNow, watchLive } from "../api/live.ts";
import { statusQuery } from "../api/queries.ts";

export function LiveMark() {
  const live = useSyncExternalStore(watchLive, liveState);
  const { data } = useQuery(statusQuery);
  const words = { live: "Live", connecting: "Connecting", waiting: "Connection lost", closed: "Not live" }[live.state];
  const tone = live.state === "live" ? "good" : live.state === "connecting" ? "idle" : "warn";
  return (
    <span
      className={`state ${tone} live-mark`}
      data-tip={live.state === "live" ? "Changes appear as they happen" : undefined}
    >
      <i className="dot" aria-hidden="true" />
      {words}
      {data === undefined ? null : <span className="muted num">v{data.version}</span>}
    </span>
  );
}

/** Shown only while the connection is lost. The page below stays readable. */
export function Connection() {
  const live = useSyncExternalStore(watchLive, liveState);
  return (
    <div role="status">
      {live.state === "waiting" ? (
        <div className="connection">
          <span>
            Connection lost: figures may be old. Trying again <Countdown until={live.retryAt} />.
          </span>
          <button type="button" className="button small" onClick={reconnectNow}>
            Try now
          </button>
        </div>
      ) : null}
    </div>
  );
}

function Countdown({ until }: { until: number }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.ceil((until - now) / 1000);
  return seconds <= 0 ? "now" : <span className="num">in {seconds} s</span>;
}
