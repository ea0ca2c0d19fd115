// One run: its outcome with the verifier's reason, where its time and money went, and every step, which opens to its input and output. A
// run that has not ended grows on the page as its steps happen.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Fragment, useEffect } from "react";
import type { Run, RunDetail } from "../../contract/index.ts";
import { runQuery } from "../api/queries.ts";
import { clock, compact, duration, full, money, moment, percent } from "../format.ts";
import { Figure, moneyFigure } from "../ui/figure.tsx";
import { Payload } from "../ui/json.tsx";
import { isTyping } from "../ui/keys.ts";
import { Fact, Facts, PageHead } from "../ui/page.tsx";
import { Failure, isNotThere, NotThere, SkeletonFigures, SkeletonRows } from "../ui/states.tsx";
import { Ago, Id, shortId, StateMark } from "../ui/text.tsx";
import { Ribbon } from "./ribbon.tsx";
import { isAlive, RunLength } from "./runList.tsx";
import { Outcome } from "./runOutcome.tsx";
import { StopButton } from "./runStop.tsx";
import { Step, WaitLine, worthSaying } from "./step.tsx";
import "./run.css";

export function RunScreen() {
  const { id } = useParams({ from: "/runs/$id" });
  const { data: run, error, refetch } = useQuery(runQuery(id));
  return (
    <>
      <PageHead
        title={`Run ${shortId(id)}`}
        heading={<Id id={id} />}
        up={{ label: "Runs", link: { to: "/runs" } }}
        state={run === undefined ? undefined : <StateMark state={run.status} />}
        note={run === undefined ? undefined : <Ago time={run.created_at} />}
      >
        {run !== undefined && isAlive(run) ? <StopButton run={run} /> : null}
      </PageHead>
      {run !== undefined ? (
        <RunBody run={run} />
      ) : error === null ? (
        <div className="stack">
          <SkeletonFigures count={4} />
          <div className="panel">
            <SkeletonRows rows={6} />
          </div>
        </div>
      ) : isNotThere(error) ? (
        <NotThere what="run" id={id} list={{ label: "All runs", link: { to: "/runs" } }} />
      ) : (
        <Failure error={error} retry={() => void refetch()} />
      )}
    </>
  );
}

function RunBody({ run }: { run: RunDetail }) {
  const search = useSearch({ from: "/runs/$id" });
  const navigate = useNavigate({ from: "/runs/$id" });
  const open = new Set(search.open?.split(".").map(Number) ?? []);
  const show = (numbers: Set<number>) => {
    const list = [...numbers].toSorted((a, b) => a - b).join(".");
    void navigate({ search: list === "" ? {} : { open: list }, replace: true, resetScroll: false });
  };
  const toggle = (number: number) => {
    const next = new Set(open);
    if (!next.delete(number)) next.add(number);
    show(next);
  };
  const reveal = (number: number) => {
    show(new Set(open).add(number));
    document.querySelector<HTMLElement>(`[data-step="${number}"]`)?.focus();
  };
  useStepKeys();
  const all = run.step_list.length > 0 && run.step_list.every((step) => open.has(step.number));
  return (
    <div className="stack">
      <Outcome run={run} />
      <div className="figures of-four">
        <Figure of="run_duration" value={<RunLength run={run} />} note={waitNote(run)} />
        <Figure of="run_cost" {...moneyFigure(run.cost_nano, run.currency)} note={costNote(run)} />
        <Figure
          of="tokens"
          value={compact(run.prompt_tokens + run.output_tokens)}
          tip={`${full(run.prompt_tokens + run.output_tokens)} tokens`}
          delta={
            run.prompt_tokens === 0 ? undefined : (
              <span className="delta long num">{percent(run.cached_tokens / run.prompt_tokens)} of prompt cached</span>
            )
          }
          note={`${compact(run.prompt_tokens)} prompt, ${compact(run.output_tokens)} output`}
        />
        <Figure of="run_steps" value={full(run.step_list.length)} note={stepNote(run)} />
      </div>
      <section className="panel" aria-labelledby="timeline">
        <div className="panel-head">
          <h2 id="timeline">Steps</h2>
          <span className="aside">
            <kbd>j</kbd> <kbd>k</kbd>
            {run.step_list.length === 0 ? null : (
              <button
                type="button"
                className="button small bare"
                onClick={() => show(all ? new Set() : new Set(run.step_list.map((step) => step.number)))}
              >
                {all ? "Close all" : "Open all"}
              </button>
            )}
          </span>
        </div>
        <Ribbon run={run} onPick={reveal} />
        <ol className="steps">
          {run.step_list.map((step, index) => (
            <Fragment key={step.number}>
              {run.waits
                .filter((wait) => wait.step === step.number)
                .map((wait) => (
                  <WaitLine key={wait.code} wait={wait} />
                ))}
              <Step
                run={run}
                step={step}
                place={index + 1}
                open={open.has(step.number)}
                onToggle={() => toggle(step.number)}
              />
            </Fragment>
          ))}
          {run.waits
            .filter((wait) => !run.step_list.some((step) => step.number === wait.step))
            .map((wait) => (
              <WaitLine key={`${wait.step} ${wait.code}`} wait={wait} />
            ))}
          {isAlive(run) ? (
            <li className="step-now">
              <StateMark state={run.status} label={nowWords(run)} />
            </li>
          ) : run.step_list.length === 0 ? (
            <li className="step-now muted">It ended before its first step.</li>
          ) : null}
        </ol>
      </section>
      <div className="pair">
        <section className="panel" aria-labelledby="run-input">
          <div className="panel-head">
            <h2 id="run-input">Input</h2>
          </div>
          <div className="panel-body">
            <Payload value={run.input} label="input of the run" />
          </div>
        </section>
        <section className="panel" aria-labelledby="run-output">
          <div className="panel-head">
            <h2 id="run-output">Output</h2>
          </div>
          <div className="panel-body">
            {run.output === null && isAlive(run) ? (
              <p className="muted">Not yet</p>
            ) : (
              <Payload value={run.output} label="output of the run" />
            )}
          </div>
        </section>
      </div>
      <section className="panel" aria-label="About the run">
        <Facts>
          <Fact name="Agent">
            <Link to="/agents/$name" params={{ name: run.agent }} className="text">
              {run.agent} v{run.version}
            </Link>
          </Fact>
          <Fact name="Created">{moment(run.created_at)}</Fact>
          <Fact name="Began">{run.started_at === null ? "not yet" : moment(run.started_at)}</Fact>
          <Fact name="Ended">{run.ended_at === null ? "not yet" : moment(run.ended_at)}</Fact>
          <Fact name="Calls">
            <Link to="/calls" search={{ run: run.id }} className="text">
              Its calls
            </Link>
          </Fact>
        </Facts>
      </section>
    </div>
  );
}

/** How long the run did not work: queued, on timers, and until something that it needs could be reached. */
function waitNote(run: RunDetail): string {
  const timers = run.step_list
    .filter((step) => step.kind === "wait")
    .reduce((sum, step) => sum + Date.parse(step.ended_at) - Date.parse(step.started_at), 0);
  const tried = run.waits.reduce((sum, wait) => sum + wait.waited_ms, 0);
  const parts = [
    [run.queued_ms, "queued"],
    [timers, "on timers"],
    [tried, "until it could go on"],
  ] as const;
  const said = parts.filter(([ms]) => ms >= worthSaying).map(([ms, what]) => `${duration(ms)} ${what}`);
  return said.length > 0 ? `of it ${said.join(", ")}` : run.ended_at === null ? "still alive" : "no waiting";
}

function nowWords(run: RunDetail): string {
  const wait = run.waits.find((each) => each.waiting);
  if (run.status === "queued") return "Queued: no step has begun";
  if (run.status === "running") return "Working on the next step";
  if (wait === undefined) return "Waiting for its timer. It costs nothing until then";
  return wait.until === null ? "Waiting until a person decides" : `Waiting; it tries again at ${clock(wait.until)}`;
}

const costNote = (run: Run) =>
  run.outcome === null
    ? isAlive(run)
      ? "so far"
      : "nothing sold"
    : run.outcome.verdict === "passed"
      ? `sold for ${money(run.outcome.price_nano, run.outcome.currency)}`
      : "nothing sold: it did not pass";

function stepNote(run: RunDetail): string {
  const kinds = new Map<string, number>();
  for (const step of run.step_list) kinds.set(step.kind, (kinds.get(step.kind) ?? 0) + 1);
  return [...kinds].map(([kind, count]) => `${count} ${kind}`).join(", ") || "none yet";
}

/** j and k walk through the steps. Enter opens one, since each is a button. */
function useStepKeys(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey) return;
      const step = event.key === "j" ? 1 : event.key === "k" ? -1 : 0;
      if (step === 0) return;
      const lines = [...document.querySelectorAll<HTMLElement>("[data-step]")];
      const at = lines.indexOf(document.activeElement as HTMLElement);
      const next = lines[at === -1 ? 0 : Math.min(Math.max(at + step, 0), lines.length - 1)];
      if (next === undefined) return;
      event.preventDefault();
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}
