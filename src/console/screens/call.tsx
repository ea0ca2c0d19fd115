// One call: its duration by phases, its tokens by cache tier, the reason for its placement, and its price.
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { AttemptResource, CallDetail } from "../../contract/index.ts";
import { callQuery, keysQuery, statusQuery } from "../api/queries.ts";
import { compact, duration, full, moment, moneyScale, percent } from "../format.ts";
import { Figure, moneyFigure } from "../ui/figure.tsx";
import { Fact, Facts, PageHead } from "../ui/page.tsx";
import { Failure, isNotThere, NotThere, SkeletonFigures, SkeletonRows } from "../ui/states.tsx";
import { Ago, Id, Money, shortId, StateMark } from "../ui/text.tsx";
import { Waterfall } from "./waterfall.tsx";
import { remedyOf, wordOf } from "./words.ts";
import { Tokens } from "./callTokens.tsx";
import { Decision } from "./callDecision.tsx";
import "./call.css";

/** Where the callers of each API call. */
const pathOfShape: Record<CallDetail["endpoint"], string> = {
  chat: "/v1/chat/completions",
  completions: "/v1/completions",
  responses: "/v1/responses",
  messages: "/v1/messages",
  gemini: "/v1beta/models",
  embeddings: "/v1/embeddings",
  rerank: "/v1/rerank",
};

export function CallScreen() {
  const { id } = useParams({ from: "/calls/$id" });
  const { data: call, error, refetch } = useQuery(callQuery(id));
  const head = (
    <PageHead
      title={`Call ${shortId(id)}`}
      heading={<Id id={id} />}
      up={{ label: "Calls", link: { to: "/calls" } }}
      state={call === undefined ? undefined : <StateMark state={call.status} />}
      note={call === undefined ? undefined : <Ago time={call.started_at} />}
    />
  );
  if (call === undefined) {
    return (
      <>
        {head}
        {error === null ? (
          <div className="stack">
            <SkeletonFigures count={4} />
            <div className="panel">
              <SkeletonRows rows={8} />
            </div>
          </div>
        ) : isNotThere(error) ? (
          <NotThere what="call" id={id} list={{ label: "All calls", link: { to: "/calls" } }} />
        ) : (
          <Failure error={error} retry={() => void refetch()} />
        )}
      </>
    );
  }
  const served = call.attempts.findLast((attempt) => attempt.prompt_tokens > 0) ?? call.attempts.at(-1);
  const rate = call.stream && call.output_tokens > 1 ? decodeRate(served) : null;
  return (
    <>
      {head}
      <div className="stack">
        <Ending call={call} />
        <div className="figures of-four">
          <Figure
            of="call_duration"
            value={duration(call.duration_ms)}
            note={call.attempts.length === 0 ? "no engine was asked" : call.stream ? "streamed" : "answered whole"}
          />
          <Figure
            of="call_first_token"
            value={duration(call.first_token_ms)}
            note={
              !call.stream && call.first_token_ms !== null
                ? "in the engine; the answer came whole"
                : rate === null
                  ? "–"
                  : `then ${compact(rate)} tokens/s`
            }
          />
          <Figure
            of="tokens"
            value={compact(call.prompt_tokens + call.output_tokens)}
            tip={`${full(call.prompt_tokens + call.output_tokens)} tokens`}
            delta={
              call.prompt_tokens === 0 ? undefined : (
                <span className="delta long num">
                  {percent(call.cached_tokens / call.prompt_tokens)} of prompt cached
                </span>
              )
            }
            note={`${compact(call.prompt_tokens)} prompt, ${compact(call.output_tokens)} output`}
          />
          <Figure
            of="price"
            {...moneyFigure(call.price_nano, call.currency)}
            note={
              call.attempts.length === 0
                ? "no attempt was made"
                : call.attempts.length === 1
                  ? "one attempt"
                  : `${call.attempts.length} attempts`
            }
          />
        </div>
        {call.attempts.length === 0 ? null : (
          <section className="panel" aria-labelledby="where-time">
            <div className="panel-head">
              <h2 id="where-time">Where the time went</h2>
              <span className="aside num">{duration(call.duration_ms)}</span>
            </div>
            <Waterfall
              attempts={call.attempts}
              total={call.duration_ms}
              firstToken={call.stream ? call.first_token_ms : null}
            />
          </section>
        )}
        {call.attempts.length === 0 ? null : (
          <div className="pair">
            <Tokens call={call} />
            {served?.decision ? <Decision decision={served.decision} engine={served.engine} /> : null}
          </div>
        )}
        {call.attempts.length > 1 ? <Attempts call={call} /> : null}
        <Origin call={call} />
      </div>
    </>
  );
}

function decodeRate(attempt: AttemptResource | undefined): number | null {
  const decode = attempt?.phases.find((phase) => phase.name === "decode");
  if (attempt === undefined || decode === undefined || decode.end_ms <= decode.start_ms) return null;
  return Math.round((attempt.output_tokens / (decode.end_ms - decode.start_ms)) * 10_000) / 10;
}

function Ending({ call }: { call: CallDetail }) {
  if (call.cut_by !== null)
    return (
      <div className="notice warn">
        <h2>Cut short by a budget</h2>
        <p>
          The money of budget <span className="mono">{call.cut_by}</span> ended here. Raise it on the Access page or
          with lineshaft budgets set.
        </p>
      </div>
    );
  if (call.error_code === null) return null;
  const remedy = remedyOf(call.error_code);
  return (
    <div className={`notice ${call.status === "failed" ? "bad" : "warn"}`}>
      <h2>
        {call.status === "refused" ? "Refused" : call.status === "failed" ? "Failed" : "Cancelled"}:{" "}
        {wordOf(call.error_code)}
      </h2>
      {remedy === undefined ? null : <p>{remedy}</p>}
    </div>
  );
}

function Attempts({ call }: { call: CallDetail }) {
  const scale = moneyScale(call.attempts.map((attempt) => attempt.price_nano));
  return (
    <section className="panel" aria-labelledby="attempts">
      <div className="panel-head">
        <h2 id="attempts">Attempts</h2>
      </div>
      <div className="panel-body">
        <table className="mini">
          <thead>
            <tr>
              <th scope="col">Attempt</th>
              <th scope="col">Engine</th>
              <th scope="col">Tokens</th>
              <th scope="col">Price</th>
            </tr>
          </thead>
          <tbody>
            {call.attempts.map((attempt) => (
              <tr key={attempt.id}>
                <th scope="row">
                  <StateMark
                    state={attempt.status}
                    label={`${attempt.number}: ${attempt.error_code === null ? attempt.status : wordOf(attempt.error_code)}`}
                  />
                </th>
                <td>
                  {attempt.engine}
                  {(attempt.why === "fallback" || attempt.why === "hedge" || attempt.why === "continued") && (
                    <span className="soft"> {attempt.why}</span>
                  )}
                </td>
                <td>{full(attempt.prompt_tokens + attempt.output_tokens)}</td>
                <td>
                  <Money nano={attempt.price_nano} currency={call.currency} scale={scale} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function ShortId({ id }: { id: string | null }) {
  return id === null ? (
    "–"
  ) : (
    <span className="mono" data-tip={id}>
      {shortId(id)}
    </span>
  );
}

function Origin({ call }: { call: CallDetail }) {
  const owner = useQuery(statusQuery).data?.role === "owner";
  const keys = useQuery({ ...keysQuery, enabled: owner }).data;
  const key = keys?.find((each) => each.id === call.key);
  return (
    <section className="panel" aria-labelledby="origin">
      <div className="panel-head">
        <h2 id="origin">Where it came from</h2>
      </div>
      <Facts columns={4}>
        <Fact name="Model">
          <Link to="/models" className="text">
            {call.model}
          </Link>
          {call.asked_model !== null && <span className="soft"> asked as {call.asked_model}</span>}
        </Fact>
        <Fact name="Endpoint">{pathOfShape[call.endpoint]}</Fact>
        <Fact name="Began">{moment(call.started_at)}</Fact>
        <Fact name="Finish reason">{call.finish_reason ?? "–"}</Fact>
        <Fact name="Key">
          {key === undefined ? <ShortId id={call.key} /> : <span data-tip={key.id}>{key.name}</span>}
        </Fact>
        <Fact name="Agent">
          {call.agent === null ? (
            "–"
          ) : (
            <Link to="/agents/$name" params={{ name: call.agent }} className="text">
              {call.agent}
            </Link>
          )}
        </Fact>
        <Fact name="Run">
          {call.run === null ? (
            "–"
          ) : (
            <Link to="/runs/$id" params={{ id: call.run }} className="text mono">
              {shortId(call.run)}
            </Link>
          )}
        </Fact>
        <Fact name="Program">
          <ShortId id={call.program} />
        </Fact>
      </Facts>
    </section>
  );
}
