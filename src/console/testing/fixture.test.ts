// The fixture fits the API's schemas, and its amounts agree with each other.
import { expect, test } from "vitest";
import * as schemas from "../../contract/index.ts";
import { billOf, overviewOf } from "./fixtureSums.ts";
import { priceOf } from "./fixtureWords.ts";
import { makeFixture } from "./fixture.ts";

const now = Date.parse("2026-11-22T08:00:00Z");
const fixture = makeFixture({ now, calls: 400, runs: 60 });

test("every resource fits its schema", () => {
  schemas.status.parse(fixture.status);
  for (const call of fixture.calls) schemas.callDetail.parse(call);
  for (const run of fixture.runs) schemas.runDetail.parse(run);
  for (const agent of fixture.agents) schemas.agentDetail.parse(agent);
  for (const key of fixture.keys) schemas.key.parse(key);
  for (const budget of fixture.budgets) schemas.budget.parse(budget);
  for (const limit of fixture.limits) schemas.limit.parse(limit);
  for (const engine of fixture.engines) schemas.engine.parse(engine);
  for (const batch of fixture.batches) schemas.batch.parse(batch);
  for (const route of fixture.routes) schemas.modelRoute.parse(route);
  for (const range of ["1h", "24h", "7d", "30d"]) schemas.overview.parse(overviewOf(fixture, range, now));
});

test("ids are unique and as ids are", () => {
  const ids = [...fixture.calls, ...fixture.runs].map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^(call|run)_[0-9a-z]{20}$/);
});

test("a call is priced by its tokens, a run by its calls, the bill by all", () => {
  for (const call of fixture.calls.filter(({ status }) => status === "completed")) {
    expect(call.price_nano).toBe(
      String(priceOf(call.model, call.prompt_tokens, call.cached_tokens, call.output_tokens)),
    );
  }
  const sum = (amounts: string[]) => amounts.reduce((total, amount) => total + BigInt(amount), 0n);
  for (const run of fixture.runs) {
    expect(BigInt(run.cost_nano)).toBe(sum(run.step_list.map(({ cost_nano }) => cost_nano)));
  }
  const bill = billOf(fixture, 0, now + 1e9);
  expect(BigInt(bill.total.token_cost_nano)).toBe(sum(fixture.calls.map(({ price_nano }) => price_nano)));
  expect(BigInt(bill.total.margin_nano)).toBe(sum(bill.lines.map(({ margin_nano }) => margin_nano)));
});

test("the same seed makes the same instance", () => {
  expect(makeFixture({ now, calls: 20, runs: 5 })).toEqual(makeFixture({ now, calls: 20, runs: 5 }));
});
