// What one live event does to the cached lists: rows are replaced, added on top, or removed where a filter no longer matches.
import { QueryClient, type InfiniteData } from "@tanstack/react-query";
import { expect, test } from "vitest";
import type { AlarmResource, Call, RunDetail, Status } from "../../contract/index.ts";
import { makeFixture } from "../testing/fixture.ts";
import { apply } from "./live.ts";
import { runsQuery, callsQuery, type Page } from "./queries.ts";

const fixture = makeFixture({ now: Date.parse("2026-11-22T08:00:00Z"), calls: 30, runs: 6 });
const list = <T>(...rows: T[]): InfiniteData<Page<T>> => ({
  pages: [{ data: rows, next_cursor: null }],
  pageParams: [undefined],
});

function clientWith(): QueryClient {
  const client = new QueryClient({ defaultOptions: { queries: { gcTime: Infinity } } });
  const [first, second] = fixture.calls;
  client.setQueryData(callsQuery({}).queryKey, list<Call>(first!, second!));
  client.setQueryData(callsQuery({ status: "failed" }).queryKey, list<Call>());
  return client;
}

test("a new call stands on top of the lists that it fits", () => {
  const client = clientWith();
  const made: Call = { ...fixture.calls[5]!, id: "call_new", status: "failed" };
  apply(client, { type: "call", call: made });
  expect(client.getQueryData(callsQuery({}).queryKey)!.pages[0]!.data.map(({ id }) => id)[0]).toBe("call_new");
  expect(client.getQueryData(callsQuery({ status: "failed" }).queryKey)!.pages[0]!.data).toEqual([made]);
});

test("a known call is replaced where it stands", () => {
  const client = clientWith();
  const known: Call = { ...fixture.calls[1]!, duration_ms: 12_345 };
  apply(client, { type: "call", call: known });
  const rows = client.getQueryData(callsQuery({}).queryKey)!.pages[0]!.data;
  expect(rows.map(({ id }) => id)).toEqual([fixture.calls[0]!.id, fixture.calls[1]!.id]);
  expect(rows[1]!.duration_ms).toBe(12_345);
});

test("a run leaves the list of the running when it has ended", () => {
  const client = clientWith();
  const alive = { ...fixture.runs[0]!, status: "running" as const };
  client.setQueryData(runsQuery({ status: "running" }).queryKey, list(alive));
  apply(client, { type: "run", run: { ...alive, status: "completed" } });
  expect(client.getQueryData(runsQuery({ status: "running" }).queryKey)!.pages[0]!.data).toEqual([]);
});

test("a step is added to its run in order, and twice is once", () => {
  const client = clientWith();
  const run = fixture.runs.find(({ step_list }) => step_list.length > 2)!;
  const [first, second, third] = run.step_list;
  client.setQueryData<RunDetail>(["run", run.id], { ...run, step_list: [first!, third!] });
  apply(client, { type: "step", run: run.id, step: second! });
  apply(client, { type: "step", run: run.id, step: second! });
  expect(client.getQueryData<RunDetail>(["run", run.id])!.step_list).toEqual([first, second, third]);
});

test("an alarm is put on top, replaced when it is raised again, and taken out when it is gone", () => {
  const client = clientWith();
  client.setQueryData<Status>(["status"], fixture.status);
  const alarm = (id: string, count: number): AlarmResource => {
    const at = "2026-11-22T08:00:00Z";
    return { id, code: "storage_full", message: "Free space.", subject: null, count, first_at: at, last_at: at };
  };
  const shown = () => client.getQueryData<Status>(["status"])!.alarms.map(({ id, count }) => [id, count]);
  apply(client, { type: "alarm", change: "raised", alarm: alarm("a", 1) });
  apply(client, { type: "alarm", change: "raised", alarm: alarm("b", 1) });
  apply(client, { type: "alarm", change: "raised", alarm: alarm("a", 7) });
  expect(shown()).toEqual([
    ["a", 7],
    ["b", 1],
  ]);
  apply(client, { type: "alarm", change: "gone", alarm: alarm("a", 7) });
  expect(shown()).toEqual([["b", 1]]);
});

test("a component's new state shows in the status", () => {
  const client = clientWith();
  client.setQueryData<Status>(["status"], fixture.status);
  const [part] = fixture.status.components;
  apply(client, { type: "component", component: { ...part!, state: "restarting", restarts: 3 } });
  expect(client.getQueryData<Status>(["status"])!.components[0]).toMatchObject({ state: "restarting", restarts: 3 });
});
