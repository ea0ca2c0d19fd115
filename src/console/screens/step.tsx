// One step of a run's timeline: a line that opens to its input, its output, its effect and its cost.
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { RunDetail, RunWait, StepResource } from "../../contract/index.ts";
import { duration, money, moneyFull, moment } from "../format.ts";
import { ChevronRight, ModelIcon, ToolIcon, VerifyIcon, WaitIcon } from "../ui/icons.tsx";
import { Conversation, messagesOf, Payload } from "../ui/json.tsx";
import { Badge, CopyButton, Id, shortId } from "../ui/text.tsx";
import { wordOf } from "./words.ts";

export const stepTones: Record<StepResource["kind"], string> = {
  model: "--model",
  tool: "--agent",
  wait: "--cloud",
  verify: "--chip",
};
const icons = { model: ModelIcon, tool: ToolIcon, wait: WaitIcon, verify: VerifyIcon };

/** Waits below this many milliseconds are not mentioned. */
export const worthSaying = 100;

interface Props {
  run: RunDetail;
  step: StepResource;
  /** Its place in the run, from 1. */
  place: number;
  open: boolean;
  onToggle: () => void;
}

export function Step({ run, step, place, open, onToggle }: Props) {
  const Icon = icons[step.kind];
  const length = Date.parse(step.ended_at) - Date.parse(step.started_at);
  const offset = Date.parse(step.started_at) - Date.parse(run.started_at ?? run.created_at);
  return (
    <li className={open ? "step open" : "step"} id={`step-${step.number}`}>
      <button
        type="button"
        className="step-line"
        data-step={step.number}
        aria-expanded={open}
        aria-controls={`step-${step.number}-body`}
        onClick={onToggle}
      >
        <span className="step-icon" style={{ color: `var(${stepTones[step.kind]})` }}>
          <Icon />
        </span>
        <span className="step-place num">{place}</span>
        <span className="step-name">
          <b>{step.name}</b>
          <span className="muted">{step.kind}</span>
          {step.effect === null ? null : (
            <Badge tone={effectTone(step.effect)}>
              effect {step.effect.attested === null ? step.effect.state : "attested"}
            </Badge>
          )}
          {step.status === "failed" ? <Badge tone="bad">failed</Badge> : null}
          {step.queued_ms < worthSaying ? null : (
            <span className="warn num" data-tip="Its call waited for its turn, in the queue and inside the engine">
              {duration(step.queued_ms)} queued
            </span>
          )}
          <span className="step-brief">{briefOf(step)}</span>
        </span>
        <span className="step-cost num">{step.cost_nano === "0" ? "" : money(step.cost_nano, run.currency)}</span>
        <span
          className="step-length num"
          data-tip={`From ${moment(step.started_at)}\n${duration(offset)} after the run began`}
        >
          {duration(length)}
        </span>
        <ChevronRight className="step-chevron" />
      </button>
      {open ? (
        <div className="step-body" id={`step-${step.number}-body`}>
          {step.error_message === null ? null : <p className="step-error">{step.error_message}</p>}
          <div className="step-sides">
            <Side title={step.kind === "tool" ? "Arguments" : step.kind === "verify" ? "Evidence" : "In"}>
              <Content value={step.input} label="input" />
            </Side>
            <Side title={step.kind === "tool" ? "Result" : step.kind === "verify" ? "Verdict" : "Out"}>
              <Content value={outputOf(step)} label="output" />
            </Side>
          </div>
          <dl className="step-facts">
            {step.effect === null ? null : (
              <>
                <div>
                  <dt>Effect</dt>
                  <dd>
                    {step.effect.tool}, {step.effect.state}
                    {step.effect.attempts > 1 ? `, ${step.effect.attempts} attempts` : ""}
                  </dd>
                </div>
                {step.effect.attested === null ? null : (
                  <div>
                    <dt>Attested</dt>
                    <dd data-tip={moment(step.effect.attested.at)}>
                      by {step.effect.attested.by}: {step.effect.attested.note}
                    </dd>
                  </div>
                )}
                <div>
                  <dt>Effect key</dt>
                  <dd>
                    <Id id={step.effect.key} />
                  </dd>
                </div>
              </>
            )}
            {step.call === null ? null : (
              <div>
                <dt>Call</dt>
                <dd className="id">
                  <Link to="/calls/$id" params={{ id: step.call }} className="text mono">
                    {shortId(step.call)}
                  </Link>
                  <CopyButton text={step.call} label="Copy id" />
                </dd>
              </div>
            )}
            {step.call === null ? null : (
              <div>
                <dt>Queued</dt>
                <dd className="num">{duration(step.queued_ms)}</dd>
              </div>
            )}
            <div>
              <dt>Cost</dt>
              <dd className="num">
                {step.cost_nano === "0" ? "none" : `${moneyFull(step.cost_nano)} ${run.currency}`}
              </dd>
            </div>
            <div>
              <dt>Began</dt>
              <dd className="num">{moment(step.started_at)}</dd>
            </div>
          </dl>
        </div>
      ) : null}
    </li>
  );
}

/** Why the run waited before the step that follows. */
export function WaitLine({ wait }: { wait: RunWait }) {
  return (
    <li className="step waited" data-wait={wait.code}>
      <span className="step-line">
        <span className="step-icon warn">
          <WaitIcon />
        </span>
        <span className="step-place" />
        <span className="step-name" data-tip={`${wait.code}\n${wait.message}`}>
          <b>{wait.waiting ? "Waits" : "Waited"}</b>
          <span className="warn">{wordOf(wait.code)}</span>
          {wait.times > 1 ? <span className="muted num">{wait.times} times</span> : null}
          <span className="step-brief">{wait.message}</span>
        </span>
        <span className="step-cost" />
        <span className="step-length num">{duration(wait.waited_ms)}</span>
        <span />
      </span>
    </li>
  );
}

function Side({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="step-side">
      <h3>{title}</h3>
      {children}
    </section>
  );
}

function Content({ value, label }: { value: unknown; label: string }) {
  const messages = messagesOf(value);
  return messages === undefined ? <Payload value={value} label={label} /> : <Conversation messages={messages} />;
}

interface Said {
  content?: unknown;
  value?: unknown;
  tool_calls?: unknown;
}

/** The output that is shown: for a model step its value or its tool calls, and its text only when it has neither. */
function outputOf(step: StepResource): unknown {
  if (step.kind !== "model" || typeof step.output !== "object" || step.output === null) return step.output;
  const said = step.output as Said;
  if (said.value !== undefined) return said.value;
  if (Array.isArray(said.tool_calls) && said.tool_calls.length > 0) return said.tool_calls;
  return said.content ?? step.output;
}

/**
 * `read_machine({"machine":"M-002"})` for a tool call of a model, which has the shape {name, arguments} or {function: {name, arguments}}.
 */
function briefCall(call: unknown): string {
  const {
    name,
    arguments: own,
    function: inner,
  } = (call ?? {}) as { name?: string; arguments?: unknown; function?: { name?: string; arguments?: unknown } };
  const called = name ?? inner?.name;
  const given = own ?? inner?.arguments ?? "";
  return called === undefined
    ? JSON.stringify(call)
    : `${called}(${typeof given === "string" ? given : JSON.stringify(given)})`;
}

/** The output in one line. */
function briefOf(step: StepResource): string {
  if (step.error_message !== null) return step.error_message;
  const output = outputOf(step);
  if (output === null || output === undefined) {
    const seconds = (step.input as { seconds?: unknown } | null)?.seconds;
    return step.kind === "wait" && typeof seconds === "number" ? `${seconds} s` : "";
  }
  if (typeof output === "string") return output;
  if (step.kind === "verify") {
    const { verdict, reason } = output as { verdict?: string; reason?: string };
    return [verdict, reason].filter(Boolean).join(": ");
  }
  if (Array.isArray(output)) return output.map(briefCall).join(", ");
  return Object.entries(output)
    .filter(([, value]) => typeof value !== "object")
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ");
}

/** An effect that was settled on a person's word is a warning and never green, because no tool answered. */
function effectTone({ state, attested }: NonNullable<StepResource["effect"]>) {
  if (attested !== null) return "warn";
  return state === "done" ? "good" : state === "unknown" ? "bad" : "warn";
}
