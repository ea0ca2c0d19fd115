// One call: what it took, where its time went, which tokens it used and from where, why it was placed where it was, what it cost.
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { AttemptResource, CallDetail, DecisionResource, EngineResource } from "../../gateway/api/schemas.ts";
import { callQuery, enginesQuery, keysQuery, statusQuery } from "../api/queries.ts";
import { compact, duration, full, money, moneyFull, moment, percent } from "../format.ts";
import { Figure } from "../ui/figure.tsx";
import { Fact, Facts, PageHead, PartsBar, type Part } from "../ui/page.tsx";
import { Failure, SkeletonFigures, SkeletonRows } from "../ui/states.tsx";
import { Ago, Badge, Id, Money, shortId, StateMark } from "../ui/text.tsx";
import { Waterfall } from "./waterfall.tsx";
import { remedyOf, wordOf } from "./words.ts";
import "./call.css";

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
            note={call.stream ? "streamed" : "answered whole"}
          />
          <Figure
            of="call_first_token"
            value={duration(call.first_token_ms)}
            note={
              !call.stream && call.first_token_ms !== null
                ? "the whole answer at once"
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
            value={money(call.price_nano)}
            unit={call.currency}
            tip={`${moneyFull(call.price_nano)} ${call.currency}`}
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
        <div className="pair">
          <Tokens call={call} />
          {served?.decision ? <Decision decision={served.decision} engine={served.engine} /> : null}
        </div>
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

const tierTones: Record<string, string> = { device: "--chip", host: "--chip", disk: "--cloud", remote: "--agent" };

function Tokens({ call }: { call: CallDetail }) {
  const engines = useQuery(enginesQuery).data;
  const tiers = new Map<string, number>();
  for (const attempt of call.attempts)
    for (const [tier, tokens] of Object.entries(attempt.cached_by_tier ?? {}))
      tiers.set(tier, (tiers.get(tier) ?? 0) + tokens);
  const known = [...tiers.values()].reduce((sum, tokens) => sum + tokens, 0);
  const computed = call.prompt_tokens - call.cached_tokens;
  const price = pricesOf(call, engines);
  const kinds: { label: string; tokens: number; tone: string; nano: string | undefined; tip?: string }[] = [
    ...[...tiers]
      .filter(([, tokens]) => tokens > 0)
      .map(([tier, tokens]) => ({
        label: `cached, ${tier}`,
        tokens,
        tone: tierTones[tier] ?? "--chip",
        nano: price?.(0, tokens, 0),
      })),
    ...(call.cached_tokens > known
      ? [
          {
            label: known === 0 ? "cached" : "cached elsewhere",
            tokens: call.cached_tokens - known,
            tone: "--chip",
            nano: price?.(0, call.cached_tokens - known, 0),
          },
        ]
      : []),
    { label: "computed", tokens: computed, tone: "--model", nano: price?.(computed, 0, 0) },
    { label: "output", tokens: call.output_tokens, tone: "--model-light", nano: price?.(0, 0, call.output_tokens) },
  ];
  const parts: Part[] = kinds.map((kind) => ({
    label: kind.label,
    value: kind.tokens,
    tone: kind.tone,
    text: full(kind.tokens),
  }));
  return (
    <section className="panel" aria-labelledby="tokens">
      <div className="panel-head">
        <h2 id="tokens">Tokens</h2>
        <span className="aside num">{full(call.prompt_tokens + call.output_tokens)}</span>
      </div>
      <div className="panel-body">
        <PartsBar label="Tokens by kind" parts={parts} legend={false} />
        <table className="mini">
          <thead>
            <tr>
              <th scope="col">Kind</th>
              <th scope="col">Tokens</th>
              <th scope="col">Share</th>
              <th scope="col">Price</th>
            </tr>
          </thead>
          <tbody>
            {kinds.map((kind) => (
              <tr key={kind.label}>
                <th scope="row">
                  <i style={{ background: `var(${kind.tone})` }} aria-hidden="true" />
                  {kind.label}
                </th>
                <td>{full(kind.tokens)}</td>
                <td>
                  {percent(
                    call.prompt_tokens + call.output_tokens === 0
                      ? null
                      : kind.tokens / (call.prompt_tokens + call.output_tokens),
                  )}
                </td>
                <td>{kind.nano === undefined ? "–" : <Money nano={kind.nano} currency={call.currency} bare />}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">settled at</th>
              <td>{full(call.prompt_tokens + call.output_tokens)}</td>
              <td />
              <td>
                <Money nano={call.price_nano} currency={call.currency} />
              </td>
            </tr>
          </tfoot>
        </table>
      </div>
    </section>
  );
}

/** Amounts per kind by the engine's rate card, only where they add up to what was settled: a card may have changed since. */
function pricesOf(
  call: CallDetail,
  engines: EngineResource[] | undefined,
): ((input: number, cached: number, output: number) => string) | undefined {
  const card = engines?.find((engine) => engine.name === call.model)?.price;
  if (!card || card.currency !== call.currency) return undefined;
  const amount = (input: number, cached: number, output: number) =>
    (BigInt(input) * BigInt(card.input_nano_per_million) +
      BigInt(cached) * BigInt(card.cached_nano_per_million) +
      BigInt(output) * BigInt(card.output_nano_per_million)) /
    1_000_000n;
  const gap =
    amount(call.prompt_tokens - call.cached_tokens, call.cached_tokens, call.output_tokens) - BigInt(call.price_nano);
  const slack = BigInt(call.attempts.length + 1);
  return gap > slack || gap < -slack ? undefined : (...tokens) => String(amount(...tokens));
}

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

function Decision({ decision, engine }: { decision: DecisionResource; engine: string }) {
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

function Attempts({ call }: { call: CallDetail }) {
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
                <td>{attempt.engine}</td>
                <td>{full(attempt.prompt_tokens + attempt.output_tokens)}</td>
                <td>
                  <Money nano={attempt.price_nano} currency={call.currency} />
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
        </Fact>
        <Fact name="Endpoint">{call.endpoint === "chat" ? "/v1/chat/completions" : "/v1/completions"}</Fact>
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
