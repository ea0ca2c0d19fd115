// The phases of a call on one time axis: attempts below each other, each phase a bar at its start with its length. A phase that is much
// shorter than the call is drawn two pixels wide, and its length stands beside it.
import type { AttemptResource } from "../../contract/index.ts";
import { duration } from "../format.ts";
import { StateMark } from "../ui/text.tsx";
import { wordOf } from "./words.ts";

type Phase = AttemptResource["phases"][number];

const phaseKinds: Record<Phase["name"], { tone: string; what: string }> = {
  admit: { tone: "--cloud", what: "Checking the key and the prices, and holding the budgets" },
  queue: { tone: "--warn-fill", what: "Waiting in the queue with the calls of all tenants" },
  connect: { tone: "--cloud", what: "Until the engine accepted the request" },
  wait: { tone: "--warn-fill", what: "Waiting inside the engine" },
  restore: { tone: "--chip", what: "KV state read back from disk" },
  prefill: { tone: "--model", what: "Computing the prompt tokens that were not cached" },
  transfer: { tone: "--chip", what: "Transfer of its KV from the prefill endpoint" },
  decode: { tone: "--model-light", what: "Generating the answer, token by token" },
  settle: { tone: "--cloud", what: "Recording its price" },
};

export function Waterfall({
  attempts,
  total,
  firstToken,
}: {
  attempts: AttemptResource[];
  total: number;
  firstToken: number | null;
}) {
  const end = Math.max(total, ...attempts.flatMap((attempt) => attempt.phases.map((phase) => phase.end_ms)), 0.1);
  const ticks = niceTicks(end);
  const at = (ms: number) => `${(ms / end) * 100}%`;
  return (
    <div className="waterfall" tabIndex={0} role="group" aria-label="Phases of the call">
      <div className="waterfall-inner">
        <div className="waterfall-axis" aria-hidden="true">
          {ticks.map((tick) => (
            <span key={tick} style={{ left: at(tick) }}>
              {tick === 0 ? "0" : duration(tick)}
            </span>
          ))}
        </div>
        <div className="waterfall-rows">
          <div className="waterfall-grid" aria-hidden="true">
            {ticks.map((tick) => (
              <i key={tick} style={{ left: at(tick) }} />
            ))}
            {firstToken === null ? null : (
              <b style={{ left: at(firstToken) }} data-tip={`First token at ${duration(firstToken)}`} />
            )}
          </div>
          {attempts.map((attempt) => (
            <section key={attempt.id} aria-label={`Attempt ${attempt.number} at ${attempt.engine}`}>
              {attempts.length > 1 || attempt.status !== "completed" ? (
                <div className="waterfall-attempt">
                  <StateMark state={attempt.status} label={`Attempt ${attempt.number}`} />
                  <span className="soft">{attempt.engine}</span>
                  {attempt.error_code === null ? null : <span className="muted">{wordOf(attempt.error_code)}</span>}
                </div>
              ) : null}
              {attempt.phases.map((phase) => (
                <PhaseRow key={phase.name} phase={phase} end={end} />
              ))}
              {attempt.phases.length === 0 ? <p className="panel-note">No times were recorded.</p> : null}
            </section>
          ))}
        </div>
        {firstToken === null ? null : (
          <p className="waterfall-first num">
            <i aria-hidden="true" /> first token at {duration(firstToken)}
          </p>
        )}
      </div>
    </div>
  );
}

function PhaseRow({ phase, end }: { phase: Phase; end: number }) {
  const { tone, what } = phaseKinds[phase.name];
  const length = phase.end_ms - phase.start_ms;
  const left = (phase.start_ms / end) * 100;
  const right = (phase.end_ms / end) * 100;
  return (
    <div
      className="waterfall-row"
      data-tip={`${what}\n${duration(length)}, from ${duration(phase.start_ms)} to ${duration(phase.end_ms)}`}
    >
      <span className="waterfall-name">{phase.name}</span>
      <span className="waterfall-track">
        <i style={{ left: `${left}%`, width: `max(2px, ${right - left}%)`, background: `var(${tone})` }} />
        <span className="waterfall-length num" style={{ left: `calc(${right}% + 7px)` }}>
          {duration(length)}
        </span>
      </span>
    </div>
  );
}

/** Four to six round steps from zero to the end. */
function niceTicks(end: number): number[] {
  const rough = end / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= rough) ?? rough;
  const ticks: number[] = [];
  for (let tick = 0; tick <= end * 0.97 && ticks.length < 12; tick += step) ticks.push(tick);
  return ticks;
}
