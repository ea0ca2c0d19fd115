// The table: one row per policy, with the measured figures, the simulated ones beside them, and the work of the workers.
import { mean } from "../../src/simulator/report/statistics.ts";
import type { RunSummary } from "../../src/simulator/report/summary.ts";
import { heading, percent, printTable } from "../simulator/print.ts";
import type { Setup } from "./live.ts";
import type { Measured } from "./measured.ts";
import type { Played } from "./replay.ts";
import type { SavedWorkload } from "./saved.ts";

/** One replay, and what the simulator says of it. */
export interface Run {
  /** Of the machine, when it ended. */
  loadAverage: number;
  measured: Measured;
  simulated: RunSummary;
  /** What was really sent, for the simulator. */
  played: SavedWorkload;
  /** Every call, in the order of sending. */
  calls: (Omit<Played, "call" | "messages"> & { call: number; program: number; thread: number; messages: number })[];
}

export interface Runs {
  setup: Setup;
  runs: Run[];
}

const whole = (value: number) => Math.round(value).toLocaleString("en-US");
const signed = (share: number) => `${share >= 0 ? "+" : ""}${percent(share, 0)}`;

/** Means over repetitions; beside a mean TTFT its least and most. */
export function printRuns(all: readonly Runs[]): void {
  heading("Measured");
  printTable(
    [
      "policy",
      "states",
      "prompt tokens",
      "hit rate",
      "ideal",
      "computed",
      "from disk",
      "TTFT mean ms",
      "spread",
      "p50",
      "p90",
      "p99",
      "span s",
    ],
    all.map(({ setup, runs }) => {
      const of = (read: (run: Run) => number) => mean(runs.map(read));
      const ttft = runs.map(({ measured }) => measured.ttftMs.mean);
      return [
        ...[labelOf(setup), setup.pool],
        whole(of(({ measured }) => measured.promptTokens)),
        percent(of(({ measured }) => measured.hitRate)),
        percent(of(({ simulated }) => simulated.idealTokenHitRate)),
        whole(of(({ measured }) => measured.workers.computed)),
        whole(of(({ measured }) => measured.workers.disk)),
        whole(mean(ttft)),
        runs.length > 1 ? `${whole(Math.min(...ttft))}-${whole(Math.max(...ttft))}` : "-",
        ...(["p50", "p90", "p99"] as const).map((p) => whole(of(({ measured }) => measured.ttftMs[p]))),
        (of(({ measured }) => measured.spanMs) / 1000).toFixed(0),
      ];
    }),
  );

  printSimulated(all);

  heading("Behind it");
  printTable(
    [
      "policy",
      "states",
      "busier worker",
      "moves",
      "learnt tokens/s",
      "parks",
      "restores",
      "lent",
      "pulled",
      "predicted hits",
      "gap",
      "KV hints (refused)",
      "failed",
    ],
    all.map(({ setup, runs }) => {
      const of = (read: (run: Measured) => number) => mean(runs.map(({ measured }) => read(measured)));
      return [
        ...[labelOf(setup), setup.pool],
        percent(
          of(({ busierShare }) => busierShare),
          0,
        ),
        whole(of(({ moves }) => moves)),
        [0, 1].map((i) => whole(of(({ learntRates }) => learntRates[i]!))).join(" and "),
        ...(["parks", "restores", "lends", "pulls"] as const).map((key) => whole(of(({ workers }) => workers[key]))),
        whole(of(({ scheduler }) => scheduler.predicted)),
        percent(of(({ scheduler, promptTokens }) => scheduler.gap / promptTokens)),
        hintsOf(runs),
        whole(of(({ failed }) => failed)),
      ];
    }),
  );
  console.log(
    "\nhit rate: prompt tokens that were not computed; ideal: one cache without bound for both workers; computed and from disk: as the workers counted; TTFT: from the client's sending to its first chunk; gap: |predicted - reported| cached tokens over prompt tokens.",
  );
  for (const { setup, runs } of all)
    for (const error of new Set(runs.flatMap(({ measured }) => measured.errors)))
      console.log(`${setup.name}: ${error}`);
}

/** What the simulator says of the same sessions, beside its error; of tokens that came from below the device too. */
export function printSimulated(all: readonly Runs[]): void {
  heading("Simulated, and its error against the measured");
  printTable(
    [
      "policy",
      "states",
      "hit rate",
      "error",
      "computed",
      "error",
      "from disk",
      "error",
      "TTFT mean ms",
      "error",
      "p50",
      "p90",
      "error",
      "p99",
      "span s",
    ],
    all.map(({ setup, runs }) => {
      const of = (read: (run: Run) => number) => mean(runs.map(read));
      const error = (simulated: (run: Run) => number, measured: (run: Run) => number) =>
        signed(of(simulated) / of(measured) - 1);
      const points = 100 * (of(({ simulated }) => simulated.tokenHitRate) - of(({ measured }) => measured.hitRate));
      return [
        ...[labelOf(setup), setup.pool],
        percent(of(({ simulated }) => simulated.tokenHitRate)),
        `${points >= 0 ? "+" : ""}${points.toFixed(1)} points`,
        whole(of(({ simulated }) => computed(simulated))),
        error(
          ({ simulated }) => computed(simulated),
          ({ measured }) => measured.workers.computed,
        ),
        whole(of(fromDisk)),
        error(fromDisk, ({ measured }) => measured.workers.disk),
        whole(of(({ simulated }) => simulated.ttftMs.mean)),
        error(
          ({ simulated }) => simulated.ttftMs.mean,
          ({ measured }) => measured.ttftMs.mean,
        ),
        whole(of(({ simulated }) => simulated.ttftMs.p50)),
        whole(of(({ simulated }) => simulated.ttftMs.p90)),
        error(
          ({ simulated }) => simulated.ttftMs.p90,
          ({ measured }) => measured.ttftMs.p90,
        ),
        whole(of(({ simulated }) => simulated.ttftMs.p99)),
        of(({ simulated }) => simulated.spanS).toFixed(0),
      ];
    }),
  );
}

const labelOf = ({ name, policy, roles }: Setup) =>
  roles[0] === "prefill" ? `${policy}, prefill and decode apart` : name.split("@")[0]!;

const fromDisk = ({ simulated }: Run): number => simulated.reloadedShare * simulated.promptTokens;

const computed = ({ endpoints }: RunSummary): number =>
  endpoints.reduce((sum, { computedPromptTokens }) => sum + computedPromptTokens, 0);

function hintsOf(runs: readonly Run[]): string {
  const sums = new Map<string, [number, number]>();
  for (const { measured } of runs)
    for (const [verb, [honoured, refused]] of Object.entries(measured.hints)) {
      const sum = sums.get(verb) ?? [0, 0];
      sums.set(verb, [sum[0] + honoured, sum[1] + refused]);
    }
  const each = [...sums].map(
    ([verb, [honoured, refused]]) => `${verb} ${whole(honoured / runs.length)} (${whole(refused / runs.length)})`,
  );
  return each.join(", ") || "none";
}
