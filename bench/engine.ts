// The embedded engine beside the library it is made of, in one run on one model:
//  - time to first token and prompt tokens computed for turns 1 to 6 of a conversation with a 2,000-token start: warm; after
//    its sequence was taken by others between any two turns; and for a second conversation with the same start;
//  - tokens per second of 1, 4 and 8 concurrent calls.
// The library is used as its users would: one sequence per conversation, continued from the longest common prefix; where
// that does not help (a sequence that was taken, a start that another conversation computed) the prompt is computed anew.
// Both compute the very same tokens with the same number of threads; repetitions are interleaved. Figures of the engine are
// those a client sees over HTTP.
//
//   npm run bench:engine -- [--reps 3] [--start 2000] [--threads N] [--model FILE.gguf] [--json FILE]
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { type LlamaContextSequence, type Token, getLlama } from "node-llama-cpp";
import { planThreads } from "../src/engines/embedded/launch.ts";
import { type TestWorker, startTestWorker } from "../src/engines/embedded/testing.ts";
import { smallModel } from "../test/setup/model.ts";

const { values: options } = parseArgs({
  options: {
    reps: { type: "string", default: "3" },
    start: { type: "string", default: "2000" },
    threads: { type: "string", default: String(planThreads(availableParallelism(), 1)) },
    model: { type: "string" },
    json: { type: "string" },
  },
});
const reps = Number(options.reps);
const startTokens = Number(options.start);
const threads = Number(options.threads);
const modelPath = options.model ?? (await smallModel());
const turns = 6;
const answerTokens = 16;
const decodeTokens = 64;
const slots = 8;
const contextTokens = Math.ceil((startTokens + turns * 120) / 256) * 256;

/** One measured turn. */
interface Turn {
  ms: number;
  computed: number;
  /** Prompt tokens that came from a file. */
  fromDisk: number;
}

interface Row {
  name: string;
  /** One list per turn, one entry per repetition. */
  turns: Turn[][];
}

type Message = { role: string; content: string };

const conversations = {
  warm: "engine: warm",
  taken: "engine: sequence taken between turns",
  second: "engine: second conversation, same start",
  directWarm: "library: warm",
  directTaken: "library: sequence taken between turns",
  directSecond: "library: second conversation, same start",
};
const rows = Object.fromEntries(
  Object.entries(conversations).map(([key, name]) => [key, { name, turns: Array.from({ length: turns }, () => []) }]),
) as unknown as Record<keyof typeof conversations, Row>;
const rates: Record<"engine" | "library", Map<number, number[]>> = { engine: new Map(), library: new Map() };

/** A system prompt of about `startTokens` tokens. */
function startOf(rep: number): Message {
  const rules = Array.from(
    { length: Math.round(startTokens / 17.2) },
    (_, i) => `Rule ${i}: station ${rep} keeps record ${i * 7} in order.`,
  );
  return { role: "system", content: rules.join(" ") };
}

const question = (name: string, turn: number): Message => ({
  role: "user",
  content: `${name}, question ${turn}: which record comes after number ${turn * 11}, and what does the rule say about it?`,
});

/** A call over HTTP: time to its first token, what it computed, what it said. */
async function call(worker: TestWorker, messages: Message[], cacheSalt: string, program: string) {
  const started = performance.now();
  let first = 0;
  let text = "";
  let computed = 0;
  let fromDisk = 0;
  const hints = { attempt: `${cacheSalt}-${program}-${started}`, cacheSalt, project: "bench", program };
  for await (const chunk of worker.stream({ messages, temperature: 0, max_tokens: answerTokens, lineshaft: hints })) {
    const said = chunk.choices[0]?.delta.content;
    // The opening chunk goes out with the first token.
    if (first === 0) first = performance.now();
    if (said) text += said;
    if (chunk.lineshaft) computed = chunk.lineshaft.computedTokens;
    if (chunk.lineshaft) fromDisk = chunk.lineshaft.cachedByTier.disk;
  }
  return { ms: first - started, computed, fromDisk, text };
}

/** Six turns of a conversation; answers the prompts as they were, so that the library can be given the same. */
async function converse(
  worker: TestWorker,
  row: Row,
  start: Message,
  name: string,
  cacheSalt: string,
  between: () => Promise<void>,
): Promise<Message[][]> {
  const messages = [start];
  const prompts: Message[][] = [];
  for (let turn = 0; turn < turns; turn++) {
    messages.push(question(name, turn));
    prompts.push([...messages]);
    if (turn > 0) await between();
    const { text, ...measured } = await call(worker, messages, cacheSalt, name);
    row.turns[turn]!.push(measured);
    messages.push({ role: "assistant", content: text });
  }
  return prompts;
}

/** Fills every sequence with another conversation. */
async function crowd(worker: TestWorker, name: string): Promise<void> {
  const prompt = (i: number) =>
    `${name} ${i}: ${Array.from({ length: 70 }, (_, word) => `w${(word * 37 + i) % 90}`).join(" ")}`;
  const body = (i: number) => ({
    prompt: prompt(i).slice(0, 240),
    max_tokens: 1,
    lineshaft: { attempt: `${name}-${i}`, cacheSalt: `${name}-${i}`, project: "bench" },
  });
  await Promise.all(
    Array.from({ length: slots }, async (_, i) => (await worker.post("/v1/completions", body(i))).text()),
  );
}

/** The same turns by the library alone. */
async function converseDirectly(
  row: Row,
  sequence: LlamaContextSequence,
  prompts: number[][],
  between: () => Promise<void>,
): Promise<void> {
  for (const [turn, prompt] of prompts.entries()) {
    if (turn > 0) await between();
    const tokens = prompt as Token[];
    const started = performance.now();
    const { firstDifferentIndex } = sequence.compareContextTokens(tokens);
    const keep = Math.min(firstDifferentIndex, tokens.length - 1);
    await sequence.eraseContextTokenRanges([{ start: keep, end: sequence.nextTokenIndex }]);
    let said = 0;
    for await (const _token of sequence.evaluate(tokens.slice(keep), { temperature: 0 })) {
      if (said++ === 0)
        row.turns[turn]!.push({ ms: performance.now() - started, computed: tokens.length - keep, fromDisk: 0 });
      if (said === answerTokens) break;
    }
  }
}

const decodePrompt = (i: number) => `Tell a long story about number ${i} of the mill, its wheel and its people.`;

async function engineRate(worker: TestWorker, concurrent: number, rep: number): Promise<number> {
  const started = performance.now();
  const said = await Promise.all(
    Array.from({ length: concurrent }, async (_, i) => {
      const hints = {
        attempt: `rate-${rep}-${concurrent}-${i}`,
        cacheSalt: `rate-${rep}-${concurrent}`,
        project: "bench",
      };
      const body = { prompt: decodePrompt(i), temperature: 0, max_tokens: decodeTokens, lineshaft: hints };
      const answer = (await (await worker.post("/v1/completions", body)).json()) as {
        usage: { completion_tokens: number };
      };
      return answer.usage.completion_tokens;
    }),
  );
  return said.reduce((sum, tokens) => sum + tokens, 0) / ((performance.now() - started) / 1000);
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const spread = (values: number[]) =>
  values.length < 2 ? "" : ` (${Math.min(...values).toFixed(0)}-${Math.max(...values).toFixed(0)})`;

async function main(): Promise<void> {
  const worker = await startTestWorker({ slots, contextTokens, threads, modelPath });
  const llama = await getLlama({ gpu: "auto", build: "never", progressLogs: false, maxThreads: threads });
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({ sequences: slots, contextSize: contextTokens, threads, batchSize: 512 });
  const sequences = Array.from({ length: slots }, () => context.getSequence());
  const clear = () => Promise.all(sequences.map((sequence) => sequence.clearHistory()));
  const tokenise = async (messages: Message[]) =>
    ((await (await worker.post("/tokenize", { messages })).json()) as { tokens: number[] }).tokens;

  try {
    for (let rep = 0; rep < reps; rep++) {
      process.stderr.write(`repetition ${rep + 1} of ${reps}, load ${loadavg()[0]!.toFixed(1)}\n`);
      const nothing = async () => {};
      const start = startOf(rep);
      const prompts = await converse(worker, rows.warm, start, "Anna", `warm-${rep}`, nothing);
      await converse(worker, rows.second, start, "Bert", `warm-${rep}`, nothing);
      let crowds = 0;
      await converse(worker, rows.taken, start, "Anna", `taken-${rep}`, () =>
        crowd(worker, `crowd-${rep}-${crowds++}`),
      );

      await clear();
      const same = await Promise.all(prompts.map(tokenise));
      const other = await Promise.all(
        prompts.map((prompt) =>
          tokenise(prompt.map((message) => ({ ...message, content: message.content.replace("Anna", "Bert") }))),
        ),
      );
      await converseDirectly(rows.directWarm, sequences[0]!, same, nothing);
      await converseDirectly(rows.directSecond, sequences[1]!, other, nothing);
      await converseDirectly(rows.directTaken, sequences[2]!, same, () => sequences[2]!.clearHistory());

      for (const concurrent of [1, 4, 8]) {
        rates.engine.set(concurrent, [
          ...(rates.engine.get(concurrent) ?? []),
          await engineRate(worker, concurrent, rep),
        ]);
        await clear();
        const started = performance.now();
        const said = await Promise.all(
          sequences.slice(0, concurrent).map(async (sequence, i) => {
            let count = 0;
            for await (const _token of sequence.evaluate(model.tokenize(decodePrompt(i)), { temperature: 0 }))
              if (++count === decodeTokens) break;
            return count;
          }),
        );
        const rate = said.reduce((sum, tokens) => sum + tokens, 0) / ((performance.now() - started) / 1000);
        rates.library.set(concurrent, [...(rates.library.get(concurrent) ?? []), rate]);
      }
    }
    report();
  } finally {
    await worker.stop();
    await llama.dispose();
  }
}

function report(): void {
  const version = (name: string) =>
    (
      JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), "utf8")) as {
        version: string;
      }
    ).version;
  const machine = {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    threads,
    load: loadavg()[0]!,
    node: process.version,
    nodeLlamaCpp: version("node-llama-cpp"),
  };
  console.log(
    `${machine.cores} cores (${machine.cpu}), ${threads} thread(s), load ${machine.load.toFixed(1)}, Node ${machine.node}, node-llama-cpp ${machine.nodeLlamaCpp}`,
  );
  console.log(
    `${reps} repetitions; medians, with least and most; ${startTokens}-token start, ${answerTokens}-token answers\n`,
  );
  console.log(
    "| time to first token, ms [prompt tokens computed] | turn 1 | 2 | 3 | 4 | 5 | 6 |\n|---|---|---|---|---|---|---|",
  );
  for (const row of Object.values(rows)) {
    const cells = row.turns.map((samples) => {
      const times = samples.map((sample) => sample.ms);
      const fromDisk = median(samples.map((sample) => sample.fromDisk));
      const tokens = `${median(samples.map((sample) => sample.computed))}${fromDisk > 0 ? `, ${fromDisk} from disk` : ""}`;
      return `${median(times).toFixed(0)}${spread(times)} [${tokens}]`;
    });
    console.log(`| ${row.name} | ${cells.join(" | ")} |`);
  }
  console.log(`\n| tokens/s, ${decodeTokens} tokens a call | 1 call | 4 | 8 |\n|---|---|---|---|`);
  for (const [name, byCount] of Object.entries(rates)) {
    console.log(
      `| ${name} | ${[1, 4, 8].map((count) => `${median(byCount.get(count)!).toFixed(0)}${spread(byCount.get(count)!)}`).join(" | ")} |`,
    );
  }
  if (options.json) {
    const tokensPerSecond = Object.fromEntries(
      Object.entries(rates).map(([name, byCount]) => [name, Object.fromEntries(byCount)]),
    );
    writeFileSync(
      options.json,
      `${JSON.stringify({ bench: "engine", machine, reps, startTokens, answerTokens, rows: Object.values(rows), tokensPerSecond }, null, 2)}\n`,
    );
  }
}

await main();
