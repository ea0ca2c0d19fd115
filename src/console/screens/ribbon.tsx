// The ribbon above a run's steps. It shows the steps twice, by time and by money, so that the step that took most of either stands out. A
// segment leads to its step.
import type { RunDetail, StepResource } from "../../contract/index.ts";
import { duration, money, moneyNumber } from "../format.ts";
import { runLength } from "./runList.tsx";
import { Money, useNow } from "../ui/text.tsx";
import { stepTones } from "./step.tsx";
import { wordOf } from "./words.ts";

export function Ribbon({ run, onPick }: { run: RunDetail; onPick: (step: number) => void }) {
  const now = useNow();
  const whole = runLength(run, now);
  if (run.started_at === null || whole === null || whole === 0) return null;
  const start = Date.parse(run.started_at);
  const share = (ms: number) => (ms / whole) * 100;
  const cost = run.step_list.reduce((sum, step) => sum + moneyNumber(step.cost_nano), 0);
  const kinds = [...new Set(run.step_list.map((step) => step.kind))];
  const length = (step: StepResource) => Math.max(0, Date.parse(step.ended_at) - Date.parse(step.started_at));
  const waited = run.waits.filter((wait) => wait.waited_ms >= 1);
  const queued = run.step_list.some((step) => step.queued_ms >= 1);
  return (
    <div className="ribbon">
      <span className="ribbon-name">Time</span>
      <div className="ribbon-track" role="group" aria-label="Time by step">
        {run.step_list.map((step, index) => (
          <button
            key={step.number}
            type="button"
            tabIndex={-1}
            className={step.kind === "wait" ? "ribbon-step wait" : "ribbon-step"}
            aria-label={`Step ${index + 1}, ${step.name}: ${duration(length(step))}${queuedWords(step)}`}
            data-tip={`${index + 1}  ${step.name}\n${duration(length(step))}${queuedWords(step)}`}
            style={{
              left: `${share(Date.parse(step.started_at) - start)}%`,
              width: `max(2px, ${share(length(step))}%)`,
              background: colours(step, length(step)),
            }}
            onClick={() => onPick(step.number)}
          />
        ))}
        {waited.map((wait) => (
          <i
            key={`${wait.step} ${wait.code}`}
            className="ribbon-step wait"
            data-tip={`waited: ${wordOf(wait.code)}\n${duration(wait.waited_ms)}`}
            style={{
              left: `${share(Date.parse(wait.began_at) - start)}%`,
              width: `max(2px, ${share(wait.waited_ms)}%)`,
              background: "var(--warn-fill)",
            }}
          />
        ))}
      </div>
      <span className="ribbon-sum num">{duration(whole)}</span>
      <span className="ribbon-name">Money</span>
      <div className="ribbon-track parts-bar" role="group" aria-label="Money by step">
        {run.step_list.map((step, index) =>
          step.cost_nano === "0" ? null : (
            <button
              key={step.number}
              type="button"
              tabIndex={-1}
              className="ribbon-part"
              aria-label={`Step ${index + 1}, ${step.name}: ${money(step.cost_nano, run.currency)}`}
              data-tip={`${index + 1}  ${step.name}\n${money(step.cost_nano, run.currency)}`}
              style={{
                width: `${(moneyNumber(step.cost_nano) / cost) * 100}%`,
                background: `var(${stepTones[step.kind]})`,
              }}
              onClick={() => onPick(step.number)}
            />
          ),
        )}
      </div>
      <span className="ribbon-sum num">
        <Money nano={run.cost_nano} currency={run.currency} />
      </span>
      <ul className="parts-legend">
        {kinds.map((kind) => (
          <li key={kind}>
            <i style={{ background: `var(${stepTones[kind]})` }} />
            {kind}
          </li>
        ))}
        {queued ? (
          <li>
            <i style={{ background: "var(--warn-fill)" }} />
            queued
          </li>
        ) : null}
        {waited.length === 0 ? null : (
          <li>
            <i className="ribbon-step wait" style={{ background: "var(--warn-fill)", position: "static" }} />
            waited
          </li>
        )}
      </ul>
    </div>
  );
}

const queuedWords = (step: StepResource) => (step.queued_ms < 1 ? "" : `, ${duration(step.queued_ms)} of it queued`);

/** Colours of a step: first the part in which its call was queued, then the rest. */
function colours(step: StepResource, length: number): string {
  const tone = `var(${stepTones[step.kind]})`;
  if (step.queued_ms < 1 || length === 0) return tone;
  const queued = Math.min(100, (step.queued_ms / length) * 100);
  return `linear-gradient(to right, var(--warn-fill) ${queued}%, ${tone} ${queued}%)`;
}
