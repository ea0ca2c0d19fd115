// Whether honest agents get what their budgets pay for: parallel agents with a large `max_tokens` and answers of varied length, streamed
// through whole gateway processes over HTTP. A budget of 1.05 times the real cost must refuse nothing, half of it must be turned into
// tokens to 95 %, and no budget may be passed, also while processes are killed, frozen or lost and while Postgres is away. Beside each
// case stands what the rule of before (a hold of the whole worst case) makes of the same work, computed in virtual time.
//
//   npm run bench:budgets -- [--only TEXT] [--agents 64] [--calls 4] [--answer 500] [--prompt 600] [--speed 1000] [--seed 1]
//     [--processes 1,2,4] [--minutes 0.5] [--grid] [--json FILE]
//
// `--minutes` is how long Postgres is away. It ends with 1 where a promise is broken, and says which.
import { writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { Database } from "../src/store/index.ts";
import { play, type Played } from "./budgets/agents.ts";
import { billedOf, openBooks, proved, standingOf, type Spread, type Standing } from "./budgets/books.ts";
import { Engine, Fleet, Postgres, type EngineKind } from "./budgets/fleet.ts";
import { oldRule, planned, type OldRule, type Shape } from "./budgets/workload.ts";

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    agents: { type: "string", default: "64" },
    calls: { type: "string", default: "4" },
    answer: { type: "string", default: "500" },
    prompt: { type: "string", default: "600" },
    speed: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    processes: { type: "string", default: "1,2,4" },
    minutes: { type: "string", default: "0.5" },
    grid: { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const tokensPerSecond = Number(options.speed);
const awayMs = Number(options.minutes) * 60_000;

type Fault = "none" | "killed" | "frozen" | "Postgres away" | "machine lost";

interface Case {
  name: string;
  shape: Shape;
  seed: number;
  price: string;
  spread: Spread;
  /** The budget, as a share of the real cost of all the work. */
  share: number;
  processes: number;
  fault: Fault;
  engine: EngineKind;
}

interface Result {
  standing: Standing;
  played: Played;
  old: OldRule;
  billedNano: bigint;
  wallMs: number;
  broken: string[];
}

const usual: Omit<Case, "name"> = {
  shape: {
    agents: Number(options.agents),
    calls: Number(options.calls),
    promptTokens: Number(options.prompt),
    answerTokens: Number(options.answer),
    maxTokens: 32_000,
  },
  seed: Number(options.seed),
  price: "flat",
  spread: "one budget",
  share: 1.05,
  processes: 1,
  fault: "none",
  engine: "stops",
};

function mainCases(): Case[] {
  const cases: Case[] = [];
  for (const processes of options.processes.split(",").map(Number))
    for (const spread of ["one budget", "ten budgets on five scopes"] as const)
      for (const share of [1.05, 0.5])
        cases.push({ ...usual, name: `${spread}, ${share} of the cost`, processes, spread, share });
  cases.push({ ...usual, name: "a provider that may bill the whole limit, 1.05 of the cost", engine: "provider" });
  // Faults need work that outlasts them.
  const seconds = (usual.shape.calls * usual.shape.answerTokens * 1.5) / tokensPerSecond;
  const long = (faultSeconds: number): Shape => ({
    ...usual.shape,
    calls: Math.ceil(usual.shape.calls * Math.max(1, (2 * faultSeconds) / seconds)),
  });
  const faults: [Fault, number][] = [
    ["killed", 10],
    ["frozen", 25],
    ["Postgres away", awayMs / 1000 + 10],
    ["machine lost", 10],
  ];
  for (const [fault, lasts] of faults)
    cases.push({ ...usual, name: `${fault}, 0.5 of the cost`, shape: long(lasts), share: 0.5, processes: 2, fault });
  return cases;
}

function gridCases(): Case[] {
  const cases: Case[] = [];
  for (const agents of [8, 64])
    for (const [promptTokens, answerTokens] of [
      [100, 1_000],
      [4_000, 200],
    ] as const)
      for (const price of ["flat", "tiered, with a fee"])
        for (const share of [1.05, 0.5])
          for (const seed of [1, 2, 3]) {
            const shape = { ...usual.shape, agents, promptTokens, answerTokens, calls: 3 };
            const name = `${agents} agents, prompts ${promptTokens}, answers ${answerTokens}, ${price}, seed ${seed}, ${share}`;
            cases.push({ ...usual, name, shape, price, share, seed });
          }
  return cases;
}

/** What happens to the processes while the agents work. */
async function suffer(fault: Fault, fleet: Fleet, postgres: Postgres): Promise<void> {
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  if (fault === "none") return;
  await pause(4_000);
  if (fault === "killed") {
    await fleet.kill("machine-1");
    await pause(2_000);
    await fleet.join("machine-1");
  }
  if (fault === "frozen") await fleet.freeze("machine-1", 20_000);
  if (fault === "machine lost") await fleet.lose("machine-1");
  if (fault === "Postgres away") {
    await postgres.away();
    await pause(awayMs);
    postgres.back();
  }
}

async function run(one: Case): Promise<Result> {
  const postgres = await Postgres.start();
  const engine = await Engine.start(tokensPerSecond, one.engine);
  const db = new Database(postgres.url, { connections: 2 });
  try {
    const agents = planned(one.shape, one.seed);
    const tenant = await openBooks(db, agents, one);
    const fleet = await Fleet.start(one.processes, engine.url, postgres.url);
    const began = performance.now();
    const { maxTokens } = one.shape;
    const patienceMs = one.fault === "none" ? 330_000 : 15_000;
    const [played] = await Promise.all([
      play(tenant.clients, { addresses: fleet.addresses, maxTokens, patienceMs }),
      suffer(one.fault, fleet, postgres),
    ]);
    const wallMs = performance.now() - began;
    await fleet.stop();
    const standing = await standingOf(db, tenant);
    const { amountNano: billedNano } = await billedOf(db, tenant);
    const old = oldRule(agents, tenant.card, standing.limitNano, { maxTokens, tokensPerSecond });
    const discrepancies = await proved(db);
    return {
      standing,
      played,
      old,
      billedNano,
      wallMs,
      broken: [...brokenBy(one, standing, played, billedNano), ...discrepancies],
    };
  } finally {
    await db.close();
    await engine.stop();
    await postgres.stop();
  }
}

/** The promises that a case breaks. */
function brokenBy(one: Case, standing: Standing, played: Played, billedNano: bigint): string[] {
  const { limitNano, spentNano, leasedNano, lostNano, overNano } = standing;
  const broken: string[] = [];
  if (overNano > 0n) broken.push(`budgets were passed by ${overNano} nano`);
  if (billedNano !== spentNano) broken.push(`settlements are ${billedNano} nano, the budget says ${spentNano}`);
  if (leasedNano !== 0n) broken.push(`${leasedNano} nano are leased to processes that have ended`);
  if (one.share >= 1 && one.fault === "none") {
    if (played.refused + played.again > 0) broken.push(`${played.refused + played.again} calls were refused`);
    // A provider's limit is lowered to what can be held, so its answers may end there.
    if (played.cut > 0 && one.engine === "stops") broken.push(`${played.cut} answers were cut`);
  }
  if (one.share < 1) {
    const used = spentNano + lostNano;
    if (used * 100n < limitNano * 95n)
      broken.push(`only ${percent(used, limitNano)} were turned into tokens or are lost leases by name`);
  }
  return broken;
}

const percent = (part: bigint, of: bigint): string =>
  of === 0n ? "-" : `${(Number((part * 10_000n) / of) / 100).toFixed(1)} %`;

const columns: [title: string, width: number, value: (one: Case, result: Result) => string | number][] = [
  ["processes", 10, (one) => one.processes],
  ["calls", 7, (one) => one.shape.agents * one.shape.calls],
  ["served", 8, (_, { played }) => played.answered],
  ["cut", 6, (_, { played }) => played.cut],
  ["refused", 9, (_, { played }) => played.refused],
  ["retried", 9, (_, { played }) => played.again],
  ["used", 9, (_, { standing }) => percent(standing.spentNano, standing.limitNano)],
  ["lost", 9, (_, { standing }) => percent(standing.lostNano, standing.limitNano)],
  ["over", 6, (_, { standing }) => String(standing.overNano)],
  ["s", 6, (_, { wallMs }) => Math.round(wallMs / 1000)],
  ["old: served", 13, (_, { old }) => old.served],
  ["refused", 9, (_, { old }) => old.refused],
  ["used", 9, (_, { old, standing }) => percent(old.spentNano, standing.limitNano)],
];

const cases = (options.grid ? gridCases() : mainCases()).filter(
  ({ name }) => options.only?.some((text) => name.includes(text)) ?? true,
);
const widest = Math.max(...cases.map(({ name }) => name.length)) + 2;
const { shape } = usual;
process.stdout.write(
  `max_tokens ${shape.maxTokens}, engine ${tokensPerSecond} tokens/s a call; used: of the budget; old: the rule of before, computed\n` +
    `${"case".padEnd(widest)}${columns.map(([title, width]) => title.padStart(width)).join("")}\n`,
);
const results: (Case & Result)[] = [];
for (const one of cases) {
  const result = await run(one);
  results.push({ ...one, ...result });
  const cells = columns.map(([, width, value]) => String(value(one, result)).padStart(width));
  process.stdout.write(`${one.name.padEnd(widest)}${cells.join("")}\n`);
  for (const broken of result.broken) process.stdout.write(`  BROKEN: ${broken}\n`);
  const codes = [...result.played.codes].map(([code, times]) => `${times} x ${code}`);
  if (codes.length > 0) process.stderr.write(`  refusals and failures: ${codes.join(", ")}\n`);
}
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, load: loadavg()[0] };
process.stdout.write(`${machine.cores} cores (${machine.cpu}), Node ${machine.node}\n`);
if (options.json !== undefined) {
  const text = (_key: string, value: unknown) =>
    typeof value === "bigint" ? value.toString() : value instanceof Map ? Object.fromEntries(value) : value;
  writeFileSync(options.json, JSON.stringify({ machine, results }, text, 2));
}
if (results.some(({ broken }) => broken.length > 0)) process.exitCode = 1;
