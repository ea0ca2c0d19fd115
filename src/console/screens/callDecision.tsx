// Why a call was placed at its endpoint: the reason, and the numbers of the chosen endpoint beside those of the runner-up.
import type { DecisionResource } from "../../contract/index.ts";
import { compact, duration } from "../format.ts";
import { Badge } from "../ui/text.tsx";

const numberNames: Record<string, string> = {
  matched_tokens: "matched, tokens",
  uncached_tokens: "to compute, tokens",
  waiting_tokens: "waiting before it, tokens",
  expected_first_token_ms: "expected first token",
  matched_host_tokens: "of these in host memory",
  matched_disk_tokens: "of these on disk",
  matched_remote_tokens: "of these in the pool",
  kv_tokens: "KV in use, tokens",
  running: "calls under way",
};

/** Names of the terms of least-delay's score. Terms of other policies are shown by the policy's own names. */
const termNames: Record<string, string> = {
  ownMs: "its own wait",
  laterMs: "wait of calls yet to come",
  streamsMs: "streams beside it slowed",
  evictedMs: "computed again for others",
};

const isTimeName = (name: string): boolean => /(_ms|Ms)$/.test(name);

export function Decision({ decision, engine }: { decision: DecisionResource; engine: string }) {
  const { chosen, runner_up: runnerUp, prefill } = decision;
  const shown = [chosen, runnerUp, prefill].filter((candidate) => candidate !== null && candidate !== undefined);
  const names = [...new Set(shown.flatMap(({ numbers }) => Object.keys(numbers)))];
  const figure = (value: number | null | undefined, isTime: boolean) =>
    value === undefined || value === null ? (
      "–"
    ) : (
      <span data-tip={isTime ? `${value} ms` : String(value)}>{isTime ? duration(value) : compact(value)}</span>
    );
  // The score of least-delay is a time, the sum of its terms. Scores of other policies have other units.
  const scoreIsTime = Object.keys(decision.terms).some(isTimeName);
  return (
    <section className="panel" aria-labelledby="placed">
      <div className="panel-head">
        <h2 id="placed">Why here</h2>
        <span className="aside">
          <Badge>{decision.policy}</Badge>
        </span>
      </div>
      <div className="panel-body">
        <p>
          {decision.reason}
          {decision.queued_ms >= 1 ? ` It waited ${duration(decision.queued_ms)} for its turn.` : null}
        </p>
        <table className="mini compare">
          <thead>
            <tr>
              <th scope="col">Endpoint</th>
              <th scope="col">
                {chosen.endpoint || engine} <span className="good">{prefill ? "decodes" : "chosen"}</span>
              </th>
              {prefill ? (
                <th scope="col">
                  {prefill.endpoint} <span className="good">prefills</span>
                </th>
              ) : null}
              <th scope="col">{runnerUp === null ? "no other" : `${runnerUp.endpoint} runner-up`}</th>
            </tr>
          </thead>
          <tbody>
            {names.map((name) => (
              <tr key={name}>
                <th scope="row">{numberNames[name] ?? name.replaceAll("_", " ")}</th>
                <td>{figure(chosen.numbers[name], isTimeName(name))}</td>
                {prefill ? <td>{figure(prefill.numbers[name], isTimeName(name))}</td> : null}
                <td className="soft">{figure(runnerUp?.numbers[name], isTimeName(name))}</td>
              </tr>
            ))}
            {Object.entries(decision.terms).map(([name, value]) => (
              <tr key={name} className="soft">
                <th scope="row">{termNames[name] ?? name}</th>
                <td>{figure(value, isTimeName(name))}</td>
                {prefill ? <td /> : null}
                <td />
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">score, less is better</th>
              <td>{figure(chosen.score, scoreIsTime)}</td>
              {prefill ? <td>{figure(prefill.score, scoreIsTime)}</td> : null}
              <td className="soft">{figure(runnerUp?.score, scoreIsTime)}</td>
            </tr>
          </tfoot>
        </table>
      </div>
    </section>
  );
}
