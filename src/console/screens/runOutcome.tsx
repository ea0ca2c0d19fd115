// How a run ended, or why it waits: the verifier's judgement with its reason, or the error with what to do about it.
import type { RunDetail } from "../../contract/index.ts";
import { money, moneyFull } from "../format.ts";
import { isAlive } from "./runList.tsx";
import { remedyOf, wordOf } from "./words.ts";

export function Outcome({ run }: { run: RunDetail }) {
  if (run.outcome !== null) {
    const passed = run.outcome.verdict === "passed";
    return (
      <section className={`notice outcome ${passed ? "good" : "bad"}`} aria-label="Outcome">
        <h2>
          {passed ? "Passed" : "Did not pass"}: {run.outcome.contract}
        </h2>
        <p>{run.outcome.reason}</p>
        <p className="muted">
          Judged by <span className="mono">{shortVerifier(run.outcome.verifier)}</span>
          {passed ? (
            <>
              , sold for{" "}
              <span className="num" data-tip={`${moneyFull(run.outcome.price_nano)} ${run.outcome.currency}`}>
                {money(run.outcome.price_nano, run.outcome.currency)}
              </span>
            </>
          ) : (
            ", nothing is billed; the cost of tokens stands"
          )}
          {run.outcome.attested ? "; it rests on a person's word about an effect" : ""}
        </p>
      </section>
    );
  }
  if (run.error_code === null) return null;
  const remedy = remedyOf(run.error_code);
  const what = run.status === "stopped" ? "Stopped" : run.status === "failed" ? "Failed" : "Waiting";
  return (
    <section
      className={`notice ${run.status === "failed" ? "bad" : "warn"}`}
      aria-label={isAlive(run) ? "Why it waits" : "Ending"}
    >
      <h2>
        {what}
        {run.error_code === "stopped" ? "" : `: ${wordOf(run.error_code)}`}
      </h2>
      {run.error_message === null ? null : <p>{run.error_message}</p>}
      {remedy === undefined || run.error_message?.includes(remedy) === true ? null : <p>{remedy}</p>}
    </section>
  );
}

/** Ten digits of the verifier's hash: `ai4i-physics@1 sha256:9f2c41aa08…`. The outcome of the API has the whole hash. */
const shortVerifier = (verifier: string) => verifier.replace(/(sha256:\w{10})\w+/, "$1…");
