// The ribbon above a run's steps: the same steps twice, as lengths of time and as amounts of money, so that one sees where a
// run spent which. A segment leads to its step.
import type { RunDetail, StepResource } from "../../gateway/api/schemas.ts";
import { duration, money, moneyNumber } from "../format.ts";
import { runLength } from "./run-list.tsx";
import { Money, useNow } from "../ui/text.tsx";
import { stepTones } from "./step.tsx";

export function Ribbon({ run, onPick }: { run: RunDetail; onPick: (step: number) => void }) {
  const now = useNow();
  const whole = runLength(run, now);
  if (run.started_at === null || whole === null || whole === 0) return null;
  const start = Date.parse(run.started_at);
  const share = (ms: number) => (ms / whole) * 100;
  const cost = run.step_list.reduce((sum, step) => sum + moneyNumber(step.cost_nano), 0);
  const kinds = [...new Set(run.step_list.map((step) => step.kind))];
  const length = (step: StepResource) => Math.max(0, Date.parse(step.ended_at) - Date.parse(step.started_at));
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
            aria-label={`Step ${index + 1}, ${step.name}: ${duration(length(step))}`}
            data-tip={`${index + 1}  ${step.name}\n${duration(length(step))}`}
            style={{
              left: `${share(Date.parse(step.started_at) - start)}%`,
              width: `max(2px, ${share(length(step))}%)`,
              background: `var(${stepTones[step.kind]})`,
            }}
            onClick={() => onPick(step.number)}
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
      </ul>
    </div>
  );
}
