// Live updates: one server-sent event stream for the whole console, read with fetch because EventSource cannot send the key in a
// header. After a loss it connects again with the last event's id, so that the server sends what was missed. Every loss shows in the
// frame, and each further try waits longer.
//
// State machine: connecting -> live -> (stream ended) waiting -> live. Signing out leads to closed from every state.
import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { Call, LiveEvent, Run, RunDetail, Status } from "../../contract/index.ts";
import { ApiFailure, send } from "./client.ts";
import type { CallFilter, Page, RunFilter } from "./queries.ts";

type LiveState =
  | { state: "connecting" }
  | { state: "live" }
  /** `retryAt` is a Date.now() time. */
  | { state: "waiting"; retryAt: number }
  | { state: "closed" };

const firstWaitMs = 1_000;
const longestWaitMs = 15_000;
/** The server sends at least a comment this often. A stream that is quiet for longer counts as lost. */
const silenceMs = 60_000;
/** While events arrive, figures that the server sums up are read again at most this often. */
const settleMs = 2_000;

let current: LiveState = { state: "closed" };
const listeners = new Set<() => void>();
const eventListeners = new Set<(event: LiveEvent) => void>();

export const liveState = (): LiveState => current;

export function watchLive(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Calls `listener` for every event, after the caches have been updated. Returns what ends that. */
export function onLiveEvent(listener: (event: LiveEvent) => void): () => void {
  eventListeners.add(listener);
  return () => eventListeners.delete(listener);
}

let skipWait: (() => void) | undefined;
/** Ends the wait before the next try. Called by the button beside "connection lost" and when the browser comes back online. */
export const reconnectNow = (): void => skipWait?.();

/** Keeps the stream connected until `signal` aborts or the key is refused. */
export async function runLive(client: QueryClient, signal: AbortSignal): Promise<void> {
  let lastId: string | undefined;
  let waitMs = firstWaitMs;
  let everLive = false;
  const online = () => reconnectNow();
  window.addEventListener("online", online);
  try {
    while (!signal.aborted) {
      if (!everLive) change({ state: "connecting" });
      try {
        for await (const message of open(lastId, signal, () => {
          // More may have been missed than the server keeps, so everything on the screen is read again.
          if (everLive) void client.invalidateQueries();
          everLive = true;
          waitMs = firstWaitMs;
          change({ state: "live" });
        })) {
          if (message.id !== undefined && message.id !== "") lastId = message.id;
          const event = parse(message.data);
          if (event === undefined) continue;
          apply(client, event);
          for (const listener of eventListeners) listener(event);
        }
      } catch (error) {
        if (error instanceof ApiFailure && (error.status === 401 || error.status === 403)) {
          void client.invalidateQueries({ queryKey: ["status"] });
          break;
        }
      }
      if (signal.aborted) break;
      change({ state: "waiting", retryAt: Date.now() + waitMs });
      await wait(waitMs, signal);
      waitMs = Math.min(waitMs * 2, longestWaitMs);
    }
  } finally {
    window.removeEventListener("online", online);
    change({ state: "closed" });
  }
}

async function* open(
  lastId: string | undefined,
  signal: AbortSignal,
  opened: () => void,
): AsyncGenerator<{ id: string | undefined; data: string }> {
  const dead = new AbortController();
  const both = AbortSignal.any([signal, dead.signal]);
  let silence: ReturnType<typeof setTimeout> | undefined;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => dead.abort(), silenceMs);
  };
  try {
    heard();
    const response = await send("/api/events", {
      signal: both,
      headers: { accept: "text/event-stream", ...(lastId === undefined ? {} : { "last-event-id": lastId }) },
    });
    if (response.body === null) return;
    opened();
    const reader = response.body
      .pipeThrough(
        new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
          transform(bytes, controller) {
            heard();
            controller.enqueue(bytes);
          },
        }),
      )
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream())
      .getReader();
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      yield { id: value.id, data: value.data };
    }
  } finally {
    clearTimeout(silence);
    dead.abort();
  }
}

function parse(data: string): LiveEvent | undefined {
  try {
    const value = JSON.parse(data) as LiveEvent;
    return typeof value === "object" && value !== null && "type" in value ? value : undefined;
  } catch {
    return undefined;
  }
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      skipWait = undefined;
      resolve();
    }
    skipWait = done;
    signal.addEventListener("abort", done);
  });
}

function change(next: LiveState): void {
  current = next;
  for (const listener of listeners) listener();
}

// --- events into the caches

/** Updates the caches with one event. Exported for its test. */
export function apply(client: QueryClient, event: LiveEvent): void {
  switch (event.type) {
    case "call":
      upsertList<Call>(client, "calls", event.call, (filter) => matchesCall(event.call, filter as CallFilter));
      void client.invalidateQueries({ queryKey: ["call", event.call.id] });
      soon(client, [["overview"], ["bill"], ["status"], ["budgets"], ["limits"]]);
      if (event.call.batch) soon(client, [["batches"], ["batch", event.call.batch]]);
      break;
    case "batch":
      void client.invalidateQueries({ queryKey: ["batches"] });
      void client.invalidateQueries({ queryKey: ["batch", event.batch.id] });
      break;
    case "run":
      upsertList<Run>(client, "runs", event.run, (filter) => matchesRun(event.run, filter as RunFilter));
      client.setQueryData<RunDetail>(["run", event.run.id], (old) =>
        old === undefined ? old : { ...old, ...event.run },
      );
      // The event does not say what a run waits for or how long its calls waited, so the whole run is read again.
      if (event.run.ended_at !== null || event.run.status === "waiting")
        void client.invalidateQueries({ queryKey: ["run", event.run.id] });
      soon(client, [["overview"], ["bill"], ["agents"], ["agent", event.run.agent]]);
      break;
    case "step":
      client.setQueryData<RunDetail>(["run", event.run], (old) => {
        if (old === undefined) return old;
        const others = old.step_list.filter((step) => step.number !== event.step.number);
        return { ...old, step_list: [...others, event.step].toSorted((a, b) => a.number - b.number) };
      });
      if (client.getQueryData<RunDetail>(["run", event.run])?.waits.some((wait) => wait.waiting) === true)
        void client.invalidateQueries({ queryKey: ["run", event.run] });
      break;
    case "component":
      client.setQueryData<Status>(["status"], (old) => {
        if (old === undefined) return old;
        const known = old.components.some((component) => component.name === event.component.name);
        return {
          ...old,
          components: known
            ? old.components.map((c) => (c.name === event.component.name ? { ...c, ...event.component } : c))
            : [...old.components, event.component],
        };
      });
      soon(client, [["status"]]);
      break;
    case "alarm":
      client.setQueryData<Status>(["status"], (old) => {
        if (old === undefined) return old;
        const others = old.alarms.filter((alarm) => alarm.id !== event.alarm.id);
        return { ...old, alarms: event.change === "gone" ? others : [event.alarm, ...others] };
      });
      break;
  }
}

function matchesCall(call: Call, filter: CallFilter): boolean {
  return (
    (filter.status === undefined || filter.status === call.status) &&
    (filter.model === undefined || filter.model === call.model) &&
    (filter.run === undefined || filter.run === call.run) &&
    (filter.batch === undefined || filter.batch === call.batch) &&
    (filter.agent === undefined || filter.agent === call.agent)
  );
}

function matchesRun(run: Run, filter: RunFilter): boolean {
  return (
    (filter.status === undefined || filter.status === run.status) &&
    (filter.agent === undefined || filter.agent === run.agent)
  );
}

/** In every cached list: replaces a known row, adds a new row on top, and removes a row that the list's filter no longer matches. */
function upsertList<T extends { id: string }>(
  client: QueryClient,
  list: string,
  row: T,
  matches: (filter: unknown) => boolean,
): void {
  for (const [key, data] of client.getQueriesData<InfiniteData<Page<T>>>({ queryKey: [list] })) {
    if (data === undefined) continue;
    const fits = matches(key[1]);
    const known = data.pages.some((page) => page.data.some((item) => item.id === row.id));
    if (!known && !fits) continue;
    const pages = data.pages.map((page, index) => {
      if (known) {
        const rows = fits
          ? page.data.map((item) => (item.id === row.id ? row : item))
          : page.data.filter((item) => item.id !== row.id);
        return { ...page, data: rows };
      }
      return index === 0 ? { ...page, data: [row, ...page.data] } : page;
    });
    client.setQueryData<InfiniteData<Page<T>>>(key, { ...data, pages });
  }
}

const pending = new Map<string, readonly unknown[]>();
let timer: ReturnType<typeof setTimeout> | undefined;

/** Marks sums stale together after `settleMs`, so that a burst of a thousand calls costs a few requests and not a thousand. */
function soon(client: QueryClient, keys: readonly (readonly unknown[])[]): void {
  for (const key of keys) pending.set(JSON.stringify(key), key);
  timer ??= setTimeout(() => {
    timer = undefined;
    const stale = [...pending.values()];
    pending.clear();
    for (const queryKey of stale) void client.invalidateQueries({ queryKey });
  }, settleMs);
}
