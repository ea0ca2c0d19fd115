// Why a call was placed where it was: the reason, and the numbers of the chosen endpoint beside the runner-up's.
import type { DecisionResource } from "../../gateway/api/schemas.ts";
import { Badge } from "../ui/text.tsx";

const numberNames: Record<string, string> = {
  matched_tokens: "matched, tokens",
  uncached_tokens: "to compute, tokens",
  waiting_tokens: "waiting before it, tokens",
  expected_first_token_ms: "expected first token, ms",
  kv_free_tokens: "KV memory free, tokens",
  running: "calls running",
  waiting: "calls waiting",
  down: "thought down",
};

export function Decision({ decision, engine }: { decision: DecisionResource; engine: string }) {
  const names = [
    ...new Set([...Object.keys(decision.chosen.numbers), ...Object.keys(decision.runner_up?.numbers ?? {})]),
  ];
  const figure = (value: number | undefined) =>
    value === undefined ? (
      "–"
    ) : (
      <span data-tip={String(value)}>{value.toLocaleString("en-US", { maximumFractionDigits: 1 })}</span>
    );
  return (
    <section className="panel" aria-labelledby="placed">
      <div className="panel-head">
        <h2 id="placed">Why here</h2>
        <span className="aside">
          <Badge>{decision.policy}</Badge>
        </span>
      </div>
      <div className="panel-body">
        <p>{decision.reason}</p>
        <table className="mini compare">
          <thead>
            <tr>
              <th scope="col">Endpoint</th>
              <th scope="col">
                {decision.chosen.endpoint || engine} <span className="good">chosen</span>
              </th>
              <th scope="col">
                {decision.runner_up === null ? "no other" : `${decision.runner_up.endpoint} runner-up`}
              </th>
            </tr>
          </thead>
          <tbody>
            {names.map((name) => (
              <tr key={name}>
                <th scope="row">{numberNames[name] ?? name.replaceAll("_", " ")}</th>
                <td>{figure(decision.chosen.numbers[name])}</td>
                <td className="soft">{figure(decision.runner_up?.numbers[name])}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">score, less is better</th>
              <td>{figure(decision.chosen.score)}</td>
              <td className="soft">{figure(decision.runner_up?.score)}</td>
            </tr>
          </tfoot>
        </table>
      </div>
    </section>
  );
}
