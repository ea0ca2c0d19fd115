// Lays a trace out over a fixed time at a given rate. Calls of an open loop keep the trace's own rhythm, stretched. Sessions begin as a
// renewal process that has been running for ever: some are under way when the time begins and some go on after its end, so that the load is
// the same from beginning to end; tools' and people's waits are not stretched. What a session under way has said before is computed
// once in a warm-up, in a prompt of its own for each of its threads.
import { Random } from "../../../src/simulator/random.ts";
import type { SimCall, Workload } from "../../../src/simulator/types.ts";

/** A workload in the order of its natural times, and the first call after the warm-up. */
export interface LaidOut {
  workload: Workload;
  measuredFrom: number;
}

/** Share of the time that is not measured: batches fill, and the caches of open loops. */
const unmeasured = 0.2;

/** Load of the warm-up in which the contexts of sessions under way are computed. */
const warmUpLoad = 0.7;

interface Placed {
  call: SimCall;
  copy: number;
  atMs: number;
  after: readonly number[];
}

/** `count` calls of an open loop from a random place of the trace on, round its end; more than the trace has are copies of their own. */
export function windowOf(pool: Workload, count: number, seed: number): Workload {
  const random = Random.stream(seed, "window");
  const size = pool.calls.length;
  const arrivals = spread(pool.calls.map((call) => call.delayMs));
  const spanMs = (arrivals[size - 1]! - arrivals[0]!) * (size / (size - 1));
  const placed: Placed[] = [];
  for (let copy = 0; placed.length < count; copy++) {
    const from = random.below(size);
    // A part of a copy is spread over the same time as the whole copies beside it.
    const taken = Math.min(size, count - copy * size);
    const stretch = copy > 0 ? size / taken : 1;
    for (let i = 0; i < taken; i++) {
      const position = (from + i) % size;
      const sinceMs = arrivals[position]! - arrivals[from]! + (position < from ? spanMs : 0);
      placed.push({ call: pool.calls[position]!, copy, atMs: sinceMs * stretch, after: [] });
    }
  }
  return build(pool, placed);
}

/** Times of a recording in coarse units: calls of one time are spread evenly until the next time. */
function spread(times: readonly number[]): number[] {
  const result = [...times];
  for (let from = 0; from < times.length;) {
    let end = from + 1;
    while (end < times.length && times[end] === times[from]) end++;
    const untilMs = end < times.length ? times[end]! - times[from]! : 0;
    for (let i = from; i < end; i++) result[i] = times[from]! + (untilMs * (i - from)) / (end - from);
    from = end;
  }
  return result;
}

/** Stretches an open loop so that its calls come over `spanMs`. */
export function stretched(workload: Workload, spanMs: number): LaidOut {
  const { calls } = workload;
  const factor = spanMs / calls[calls.length - 1]!.delayMs;
  return {
    workload: { ...workload, calls: calls.map((call) => ({ ...call, delayMs: call.delayMs * factor })) },
    measuredFrom: calls.findIndex((call) => call.delayMs * factor >= unmeasured * spanMs),
  };
}

interface SessionOptions {
  seed: number;
  /** Mean time between the starts of sessions, and its coefficient of variation. */
  startGapMs: number;
  startCv: number;
  spanMs: number;
  /** Whether the sessions' order is drawn; generated ones have an order that means something. */
  shuffled: boolean;
  /** Time that a call takes in its place, and time of the whole fleet for a prompt that is computed whole. */
  serviceMs: (index: number) => number;
  prefillMs: (promptTokens: number) => number;
}

/** Sessions that begin one after another, cut to those of their calls whose natural time lies within the span, after the warm-up. */
export function sessionsUnderWay(pool: Workload, options: SessionOptions): LaidOut {
  const { seed, spanMs } = options;
  const random = Random.stream(seed, "sessions");
  const sessions = naturalTimes(pool, options.serviceMs);
  if (options.shuffled) random.shuffle(sessions);
  const longestMs = Math.max(...sessions.map(({ endMs }) => endMs));
  const contexts: Placed[] = [];
  const placed: Placed[] = [];
  let next = 0;
  for (let startMs = -longestMs; startMs < spanMs; startMs += random.gap(options.startGapMs, options.startCv)) {
    const session = sessions[next % sessions.length]!;
    const copy = Math.floor(next++ / sessions.length);
    const numbers = new Map<number, number>();
    const saidBefore = new Map<number, SimCall>();
    session.calls.forEach((call, i) => {
      const atMs = startMs + session.atMs[i]!;
      if (atMs >= spanMs) return;
      if (atMs < 0) return saidBefore.set(call.thread, call);
      const said = saidBefore.get(call.thread);
      if (said !== undefined) contexts.push({ call: contextOf(said), copy, atMs: 0, after: [] });
      saidBefore.delete(call.thread);
      numbers.set(call.index, placed.length);
      const after = call.after.flatMap((before) => numbers.get(before) ?? []);
      placed.push({ call, copy, atMs, after });
    });
  }
  random.shuffle(contexts);
  let warmUpMs = 0;
  for (const context of contexts) {
    context.atMs = warmUpMs;
    warmUpMs += options.prefillMs(context.call.promptTokens) / warmUpLoad;
  }
  for (const one of placed) one.atMs += warmUpMs;
  const times = [...placed, ...contexts].map(({ atMs }) => atMs).toSorted((a, b) => a - b);
  return {
    workload: build(pool, [...placed, ...contexts]),
    measuredFrom: times.findIndex((atMs) => atMs >= warmUpMs + unmeasured * spanMs),
  };
}

/** A call that computes what a thread has said so far: the last prompt with its answer. */
function contextOf(call: SimCall): SimCall {
  const outputBlocks = call.outputBlocks ?? new Int32Array(0);
  const blocks = new Int32Array(call.blocks.length + outputBlocks.length);
  blocks.set(call.blocks);
  blocks.set(outputBlocks, call.blocks.length);
  return {
    ...call,
    blocks,
    outputBlocks: undefined,
    promptTokens: call.promptTokens + call.outputTokens,
    outputTokens: 1,
  };
}

interface Session {
  calls: SimCall[];
  /** By call: when it is sent after the session's start if every call takes its service time. */
  atMs: number[];
  endMs: number;
}

function naturalTimes(pool: Workload, serviceMs: (index: number) => number): Session[] {
  const sessions = Array.from({ length: pool.programs }, (): Session => ({ calls: [], atMs: [], endMs: 0 }));
  const endMs = new Float64Array(pool.calls.length);
  const zeroMs = new Float64Array(pool.programs).fill(NaN);
  for (const call of pool.calls) {
    const session = sessions[call.program]!;
    if (Number.isNaN(zeroMs[call.program]!)) zeroMs[call.program] = call.delayMs;
    const readyMs = call.after.reduce((latest, before) => Math.max(latest, endMs[before]!), 0);
    const atMs = call.after.length === 0 ? call.delayMs - zeroMs[call.program]! : readyMs + call.delayMs;
    endMs[call.index] = atMs + serviceMs(call.index);
    session.calls.push(call);
    session.atMs.push(atMs);
    session.endMs = Math.max(session.endMs, endMs[call.index]!);
  }
  return sessions;
}

/**
 * A workload of the placed calls in the order of their times; each copy of the pool has contents and names of its own. Blocks are numbered
 * anew, so that only those that a call has are counted: every cache of a fleet takes memory for each number.
 */
function build(pool: Workload, placed: readonly Placed[]): Workload {
  const order = placed.map((_, i) => i).toSorted((a, b) => placed[a]!.atMs - placed[b]!.atMs || a - b);
  const indexOf = new Int32Array(placed.length);
  order.forEach((position, index) => (indexOf[position] = index));
  const copies = 1 + placed.reduce((most, { copy }) => Math.max(most, copy), 0);
  const { contents, blockCount } = numbered(pool, placed);
  const calls = order.map((position, index): SimCall => {
    const { call, copy, atMs, after } = placed[position]!;
    return {
      ...call,
      ...contents[position],
      index,
      // Copies are further work of the same tenants.
      program: call.program + copy * pool.programs,
      thread: call.thread + copy * pool.threads,
      after: after.map((before) => indexOf[before]!),
      delayMs: after.length === 0 ? atMs : call.delayMs,
    };
  });
  return { ...pool, calls, blockCount, programs: pool.programs * copies, threads: pool.threads * copies };
}

/** The blocks of each placed call, numbered from 0 on without gaps. */
function numbered(pool: Workload, placed: readonly Placed[]) {
  const contents: Pick<SimCall, "blocks" | "outputBlocks">[] = Array.from({ length: placed.length });
  // By block of the pool its number in the copy at hand, plus one; 0 where it has none yet.
  const numbers = new Int32Array(pool.blockCount);
  let blockCount = 0;
  const own = (blocks: Int32Array): Int32Array => blocks.map((block) => (numbers[block] ||= ++blockCount) - 1);
  for (const positions of Map.groupBy(placed.keys(), (position) => placed[position]!.copy).values()) {
    numbers.fill(0);
    for (const position of positions) {
      const { blocks, outputBlocks } = placed[position]!.call;
      contents[position] = {
        blocks: own(blocks),
        ...(outputBlocks !== undefined && { outputBlocks: own(outputBlocks) }),
      };
    }
  }
  return { contents, blockCount };
}
