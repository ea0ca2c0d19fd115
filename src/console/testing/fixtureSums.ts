// The overview and the bill of a period, computed from the fixture's calls and runs.
import type { Bill, BillLine, Call, Overview, Proofs, Standing, Run } from "../../contract/index.ts";
import type { Fixture } from "./fixture.ts";
import { minute, hour, day, currency, priceOf, iso } from "./fixtureWords.ts";

const steps: Record<string, [number, number]> = {
  "1h": [hour, minute],
  "24h": [day, 30 * minute],
  "7d": [7 * day, 4 * hour],
  "30d": [30 * day, 12 * hour],
};

export function overviewOf(fixture: Fixture, range: string, now: number): Overview {
  const [length, step] = steps[range] ?? steps["24h"]!;
  const to = Math.ceil(now / step) * step;
  const from = to - length;
  const within = <T extends { started_at?: string | null; created_at?: string }>(
    list: T[],
    low: number,
    high: number,
  ) =>
    list.filter((item) => {
      const at = Date.parse(item.started_at ?? item.created_at ?? "");
      return at >= low && at < high;
    });
  const calls = within(fixture.calls, from, to);
  const runs = within(fixture.runs, from, to);
  const before = within(fixture.calls, from - length, from);
  const runsBefore = within(fixture.runs, from - length, from);
  const cost = (list: Call[]) => list.reduce((sum, call) => sum + BigInt(call.price_nano), 0n);
  const revenue = (list: Run[]) => list.reduce((sum, run) => sum + BigInt(run.outcome?.price_nano ?? 0), 0n);
  const cached = calls.reduce((sum, call) => sum + call.cached_tokens, 0);
  const uncached = calls.reduce((sum, call) => sum + call.prompt_tokens - call.cached_tokens, 0);
  const output = calls.reduce((sum, call) => sum + call.output_tokens, 0);
  const saved = calls.reduce(
    (sum, call) =>
      sum +
      priceOf(call.model, call.cached_tokens, 0, 0) -
      priceOf(call.model, call.cached_tokens, call.cached_tokens, 0),
    0n,
  );
  const first = calls
    .flatMap((call) => (call.status === "completed" && call.first_token_ms !== null ? [call.first_token_ms] : []))
    .toSorted((a, b) => a - b);
  const at = (share: number) => first[Math.min(first.length - 1, Math.floor(first.length * share))] ?? null;
  const passed = runs.filter((run) => run.outcome?.verdict === "passed").length;
  const failed = runs.filter((run) => run.outcome?.verdict === "failed").length;
  const series = Array.from({ length: length / step }, (_, index) => {
    const slot = within(calls, from + index * step, from + (index + 1) * step);
    const hit = slot.reduce((sum, call) => sum + call.cached_tokens, 0);
    return {
      time: iso(from + index * step),
      cached_tokens: hit,
      uncached_tokens: slot.reduce((sum, call) => sum + call.prompt_tokens, 0) - hit,
      output_tokens: slot.reduce((sum, call) => sum + call.output_tokens, 0),
      calls: slot.length,
      cost_nano: String(cost(slot)),
    };
  });
  const tokens = (list: Call[]) => list.reduce((sum, call) => sum + call.prompt_tokens + call.output_tokens, 0);
  const count = (status: Run["status"]) => runs.filter((run) => run.status === status).length;
  return {
    from: iso(from),
    to: iso(to),
    currency,
    calls: {
      total: calls.length,
      failed: calls.filter((call) => call.status === "failed").length,
      refused: calls.filter((call) => call.status === "refused").length,
    },
    tokens: { uncached, cached, output },
    cached_share: uncached + cached === 0 ? null : cached / (uncached + cached),
    saved: { nano: String(saved), prefill_ms: cached === 0 ? null : cached / 1.45, tokens: 0 },
    first_token_ms: { p50: at(0.5), p90: at(0.9), p99: at(0.99) },
    runs: {
      running: count("running"),
      waiting: count("waiting"),
      completed: count("completed"),
      failed: count("failed"),
    },
    outcomes: { passed, failed, pass_rate: passed + failed === 0 ? null : passed / (passed + failed) },
    money: {
      revenue_nano: String(revenue(runs)),
      cost_nano: String(cost(calls)),
      margin_nano: String(revenue(runs) - cost(calls)),
      suspense_nano: "0",
    },
    series,
    previous: {
      calls: before.length,
      tokens: tokens(before),
      cost_nano: String(cost(before)),
      revenue_nano: String(revenue(runsBefore)),
    },
  };
}

export function billOf(fixture: Fixture, from: number, to: number): Bill {
  const inside = (time: string) => Date.parse(time) >= from && Date.parse(time) < to;
  const calls = fixture.calls.filter((call) => inside(call.started_at));
  const runs = fixture.runs.filter((run) => inside(run.created_at));
  const line = (agent: string | null, own: Call[], work: Run[]): BillLine => {
    const cost = own.reduce((sum, call) => sum + BigInt(call.price_nano), 0n);
    const revenue = work.reduce((sum, run) => sum + BigInt(run.outcome?.price_nano ?? 0), 0n);
    const passed = work.filter((run) => run.outcome?.verdict === "passed").length;
    const failed = work.filter((run) => run.outcome?.verdict === "failed").length;
    const total = (pick: (call: Call) => number) => own.reduce((sum, call) => sum + pick(call), 0);
    const tokens = total((call) => call.prompt_tokens + call.output_tokens);
    return {
      agent,
      runs: work.length,
      calls: own.length,
      prompt_tokens: total((call) => call.prompt_tokens),
      cached_tokens: total((call) => call.cached_tokens),
      output_tokens: total((call) => call.output_tokens),
      revenue_nano: String(revenue),
      token_cost_nano: String(cost),
      margin_nano: String(revenue - cost),
      outcomes_passed: passed,
      outcomes_failed: failed,
      outcomes_attested: 0,
      pass_rate: passed + failed === 0 ? null : passed / (passed + failed),
      cost_per_verified_outcome_nano: passed === 0 ? null : String(cost / BigInt(passed)),
      verified_outcomes_per_million_tokens: tokens === 0 || passed + failed === 0 ? null : (passed * 1e6) / tokens,
    };
  };
  const lines = fixture.agents.map((agent) =>
    line(
      agent.name,
      calls.filter((call) => call.agent === agent.name),
      runs.filter((run) => run.agent === agent.name),
    ),
  );
  lines.push(
    line(
      null,
      calls.filter((call) => call.agent === null),
      [],
    ),
  );
  return {
    closed: false,
    from: iso(from),
    to: iso(to),
    currency,
    lines: lines.filter((each) => each.calls + each.runs > 0),
    total: line(null, calls, runs),
    suspense: [],
    standing: standingOf(fixture, to),
  };
}

/** What is leased of the first budget, and a lease that a process took with it when it died. */
function standingOf(fixture: Fixture, now: number): Standing {
  const budget = fixture.budgets[0];
  return {
    complete_through: iso(now - 1000),
    leased:
      budget === undefined
        ? []
        : [
            {
              budget: budget.id,
              scope: `${budget.scope.kind}:${budget.scope.id}`,
              leased_nano: "12500000",
              processes: 1,
            },
          ],
    suspense:
      budget === undefined
        ? []
        : [
            {
              id: `lost_lease:3:${budget.id}`,
              kind: "lost_lease",
              subject: budget.id,
              left_nano: "3200000",
              reason: "Epoch 3 was fenced: it is not known what it spent of its lease.",
              created_at: iso(now - 3_600_000),
            },
          ],
    suspense_count: budget === undefined ? 0 : 1,
  };
}

/** A whole proof of last night, which found nothing. */
export function proofsOf(fixture: Fixture, now: number): Proofs {
  const ended = now - 5 * 3_600_000;
  return {
    data: [
      {
        kind: "whole",
        began_at: iso(ended - 1400),
        ended_at: iso(ended),
        compared: { settlements: fixture.calls.length, batches: 310, entries: 940, budgets: fixture.budgets.length },
        discrepancies: [],
        discrepancy_count: 0,
      },
    ],
    standing: standingOf(fixture, now),
  };
}
