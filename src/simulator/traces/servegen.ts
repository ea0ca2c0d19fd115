// ServeGen's client profiles (Alibaba Cloud Model Studio): per client and 10-minute window a rate and an inter-arrival law,
// per client and 6-hour window quantiles of lengths. Not a trace: one samples from it. A window's calls are spaced by its
// law and end when the window's count (rate x length) is reached, so that a bursty window is a burst followed by silence.
import { z } from "zod";
import { Random } from "../random.ts";
import { SimulatorError, type Workload } from "../types.ts";
import { WorkloadBuilder } from "./builder.ts";
import { parseLine, readLines, shown } from "./files.ts";

const windowS = 600;

interface ServeGenOptions {
  /** Part of the profile to generate, in seconds from its start. */
  fromS: number;
  durationS: number;
  /** Multiplies every client's rate (spacing shrinks accordingly). */
  rateScale?: number;
  seed: number;
  blockTokens?: number;
}

interface Window {
  client: number;
  startS: number;
  ratePerS: number;
  pattern: "Gamma" | "Weibull";
  shape: number;
  scaleS: number;
}

const quantity = z.object({ mean: z.number(), q: z.array(z.number()) });
const lengthRow = z.object({
  client: z.number().int(),
  t: z.number(),
  input_tokens: quantity.optional(),
  text_tokens: quantity.optional(),
  image_tokens: quantity.optional(),
  output_tokens: quantity.optional(),
});
type LengthRow = z.infer<typeof lengthRow>;

/** Generates load from a `*-rates.csv[.gz]` and its `*-lengths.jsonl[.gz]`. */
export async function readServeGen(
  ratesPath: string,
  lengthsPath: string,
  options: ServeGenOptions,
): Promise<Workload> {
  const windows = await readWindows(ratesPath, options);
  const { shares, byClient, all } = await readLengths(lengthsPath);
  const blockTokens = options.blockTokens ?? 512;
  const builder = new WorkloadBuilder("servegen", blockTokens);
  const arrivals: { atMs: number; client: number; input: number; output: number }[] = [];
  let borrowed = 0;
  for (const window of windows) {
    const random = Random.stream(options.seed, `client ${window.client} window ${window.startS}`);
    const ratePerS = window.ratePerS * (options.rateScale ?? 1);
    const expected = ratePerS * windowS;
    const count = Math.floor(expected) + (random.next() < expected - Math.floor(expected) ? 1 : 0);
    const own = byClient.get(window.client);
    const lengths = own?.findLast((row) => row.t <= window.startS) ?? own?.[0] ?? all[random.below(all.length)]!;
    let atS = window.startS + random.next() / Math.max(ratePerS, 1e-9) / 2;
    for (let i = 0; i < count && atS < window.startS + windowS; i++) {
      if (own === undefined) borrowed++;
      const input = draw(lengths.input_tokens) + draw(lengths.text_tokens) + draw(lengths.image_tokens);
      const atMs = (atS - options.fromS) * 1000;
      const output = draw(lengths.output_tokens);
      arrivals.push({ atMs, client: window.client, input, output });
      const gapS =
        window.pattern === "Gamma"
          ? random.gamma(window.shape, window.scaleS)
          : random.weibull(window.shape, window.scaleS);
      atS += gapS / (options.rateScale ?? 1);
    }
    function draw(q: z.infer<typeof quantity> | undefined): number {
      return q === undefined ? 0 : Math.max(0, Math.round(random.quantile(shares, q.q)));
    }
  }
  arrivals.sort((a, b) => a.atMs - b.atMs);
  for (const { atMs, client, input, output } of arrivals) {
    const count = Math.floor(input / blockTokens);
    const first = builder.freshRange(count);
    builder.add({
      tenant: String(client),
      program: String(builder.calls.length),
      promptTokens: Math.max(1, input),
      outputTokens: Math.max(1, output),
      blocks: Int32Array.from({ length: count }, (_, i) => first + i),
      delayMs: Math.max(0, atMs),
    });
  }
  if (borrowed > 0) {
    const share = Math.round((100 * borrowed) / Math.max(1, arrivals.length));
    builder.notes.push(
      `${share} % of calls come from clients without published lengths; theirs are drawn from the others'.`,
    );
  }
  builder.notes.push("ServeGen profiles say nothing of shared prefixes: every prompt is computed whole.");
  return builder.build();
}

async function readWindows(path: string, options: ServeGenOptions): Promise<Window[]> {
  const windows: Window[] = [];
  let lineNumber = 0;
  for await (const line of readLines(path)) {
    if (++lineNumber === 1) {
      if (line.startsWith("client,window_start_s,rate_rps")) continue;
      throw unreadable(path, lineNumber, line);
    }
    const [client, startS, ratePerS, , pattern, shape, scaleS] = line.split(",");
    const window = {
      client: Number(client),
      startS: Number(startS),
      ratePerS: Number(ratePerS),
      pattern: pattern as Window["pattern"],
      shape: Number(shape),
      scaleS: Number(scaleS),
    };
    if (!(window.ratePerS >= 0) || !(window.shape > 0) || (pattern !== "Gamma" && pattern !== "Weibull")) {
      throw unreadable(path, lineNumber, line);
    }
    if (window.startS + windowS > options.fromS && window.startS < options.fromS + options.durationS)
      windows.push(window);
  }
  return windows;
}

async function readLengths(path: string) {
  let shares: number[] | undefined;
  const byClient = new Map<number, LengthRow[]>();
  const all: LengthRow[] = [];
  let lineNumber = 0;
  for await (const line of readLines(path)) {
    const value = parseLine(line, path, ++lineNumber);
    if (shares === undefined) {
      const grid = z.object({ quantiles_pct: z.array(z.number()).min(2) }).safeParse(value);
      if (!grid.success) throw unreadable(path, lineNumber, line);
      shares = grid.data.quantiles_pct.map((percent) => percent / 100);
      continue;
    }
    const row = lengthRow.safeParse(value);
    if (!row.success) throw unreadable(path, lineNumber, line);
    if (row.data.output_tokens === undefined) continue; // a window without calls
    byClient.set(row.data.client, [...(byClient.get(row.data.client) ?? []), row.data]);
    all.push(row.data);
  }
  if (shares === undefined || all.length === 0) throw unreadable(path, lineNumber, "");
  return { shares, byClient, all };
}

function unreadable(path: string, line: number, text: string): SimulatorError {
  return new SimulatorError(
    "trace_unreadable",
    `Line ${line} of ${path} is not part of a ServeGen profile: ${shown(text)}`,
    "Give the *-rates.csv; its *-lengths.jsonl must lie beside it.",
  );
}
