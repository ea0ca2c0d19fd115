// `lineshaft run` starts a run and may follow it to its end; `lineshaft runs` lists, shows and stops them.
import { Option, type Command } from "commander";
import type { AgentSummary, LiveEvent, Run, RunDetail, StepResource } from "../contract/index.ts";
import { AnsweredError, type Client } from "./client.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { count, duration, money, pairs, relativeTime, table } from "./format.ts";
import { readJsonInput } from "./input.ts";
import { uniqueByPrefix, unknownName } from "./nearest.ts";
import { wholeNumber } from "./options.ts";

const statuses: Run["status"][] = ["queued", "running", "waiting", "completed", "failed", "stopped"];
const ended = new Set<Run["status"]>(["completed", "failed", "stopped"]);
/** The newest runs that are searched for an id's prefix; older ones are found by their whole id. */
/** The command that makes a first agent. */
export const deployExample = "npx lineshaft deploy examples/maintenance-inspector";
const prefixSearchRuns = 1000;
/** A repeated reason to wait is printed again after this time. */
const repeatMs = 5_000;

export function registerRuns(program: Command, context: Context): void {
  verb(program, "run <agent>", {
    about: "Start a run of an agent; with --follow, wait for it and exit by its result",
    examples: [
      `echo '{"machine": "M-001", "bare": false}' | npx lineshaft run maintenance-inspector --input - --follow`,
      `echo '{"machine": "M-002", "bare": false}' | npx lineshaft run maintenance-inspector --input - --json`,
    ],
  })
    .requiredOption("--input <file>", "JSON file with the input, - for stdin")
    .option("--follow", "show each step as it happens and wait for the end")
    .option("--idempotency-key <key>", "a repeated key returns the run that it created")
    .action(
      async (agent: string, options: { input: string; follow?: boolean; idempotencyKey?: string; json?: boolean }) => {
        const input = await readJsonInput(options.input, context.terminal);
        const client = context.client();
        const run = await start(client, agent, input, options.idempotencyKey);
        if (!options.follow) {
          if (options.json) return context.terminal.printJson(run);
          context.terminal.print(run.id);
          context.terminal.note(`See it: npx lineshaft runs show ${run.id}`);
          return undefined;
        }
        const detail = await follow(context, client, run.id, options.json ?? false);
        if (options.json) context.terminal.printJson(detail);
        else for (const line of summary(detail, context.terminal.now())) context.terminal.print(line);
        if (detail.status !== "completed") process.exitCode = 1;
        return undefined;
      },
    );

  const runs = group(program, "runs", {
    about: "Runs of agents",
    examples: ["npx lineshaft runs list", "npx lineshaft runs list --agent maintenance-inspector --status failed"],
  });

  verb(runs, "list", {
    about: "List runs, newest first",
    examples: ["npx lineshaft runs list", "npx lineshaft runs list --agent maintenance-inspector --limit 5 --json"],
  })
    .option("--agent <name>", "only runs of this agent")
    .addOption(new Option("--status <status>", "only those in this state").choices(statuses))
    .option("--limit <number>", "most runs to list", wholeNumber, 20)
    .action(async (options: { agent?: string; status?: string; limit: number; json?: boolean }) => {
      const { terminal } = context;
      const client = context.client();
      const list = await client.list<Run>("/api/runs", { agent: options.agent, status: options.status }, options.limit);
      if (list.length === 0 && options.agent !== undefined) await assertAgent(client, options.agent);
      if (options.json) return terminal.printJson({ data: list });
      const now = terminal.now();
      for (const line of table(list, [
        { title: "id", value: (row) => row.id },
        { title: "agent", value: (row) => `${row.agent} v${row.version}` },
        { title: "status", value: (row) => row.status },
        { title: "outcome", value: (row) => row.outcome?.verdict ?? "-" },
        { title: "steps", value: (row) => count(row.steps), right: true },
        { title: "tokens", value: (row) => count(row.prompt_tokens + row.output_tokens), right: true },
        { title: "cost", value: (row) => money(row.cost_nano, row.currency), right: true },
        { title: "started", value: (row) => relativeTime(row.started_at ?? row.created_at, now) },
      ]))
        terminal.print(line);
      if (list.length === 0) terminal.note("No runs. Start one: npx lineshaft run AGENT --input FILE --follow");
    });

  verb(runs, "show <id>", {
    about: "Show a run with its steps, by its id, a unique beginning of it, or the word latest",
    examples: ["npx lineshaft runs show latest", "npx lineshaft runs show latest --json"],
  }).action(async (id: string, options: { json?: boolean }) => {
    const { terminal } = context;
    const run = await findRun(context.client(), id);
    if (options.json) return terminal.printJson(run);
    for (const line of summary(run, terminal.now())) terminal.print(line);
    if (run.step_list.length > 0) terminal.print("");
    for (const line of stepTable(run)) terminal.print(line);
  });

  verb(runs, "resume [id]", {
    about: "Let runs that a restore has paused go on: one by its id, or all",
    examples: ["npx lineshaft runs resume --all", "npx lineshaft runs resume --all --json"],
  })
    .option("--all", "every run that a restore has paused")
    .action(async (id: string | undefined, options: { all?: boolean; json?: boolean }) => {
      if ((id === undefined) === (options.all === undefined))
        throw new CliError({
          exitCode: 2,
          message: "Name one run, or add --all.",
          hint: "npx lineshaft runs list --status waiting",
        });
      const client = context.client();
      const run = id === undefined ? undefined : (await findRun(client, id)).id;
      const resumed = await client.post<{ runs: number }>("/api/maintenance/resume", { run });
      if (options.json) return context.terminal.printJson(resumed);
      if (resumed.runs === 0 && run !== undefined)
        context.terminal.print(`Run ${run} is not paused by a restore: nothing was changed.`);
      else context.terminal.print(`${resumed.runs} runs go on.`);
      return undefined;
    });

  verb(runs, "stop <id>", {
    about: "Stop a run: no model or tool call of it begins after this",
    examples: ["npx lineshaft runs stop latest", "npx lineshaft runs stop latest --json"],
  }).action(async (id: string, options: { json?: boolean }) => {
    const client = context.client();
    const { id: found } = await findRun(client, id);
    const run = await client.post<Run>(`/api/runs/${found}/stop`, {});
    if (options.json) return context.terminal.printJson(run);
    context.terminal.print(`Run ${run.id} is ${run.status}.`);
  });
}

async function start(client: Client, agent: string, input: unknown, idempotencyKey: string | undefined): Promise<Run> {
  try {
    return await client.post<Run>("/api/runs", { agent, input }, idempotencyKey);
  } catch (error) {
    if (!(error instanceof AnsweredError) || error.status !== 404) throw error;
    await assertAgent(client, agent);
    throw error;
  }
}

/** Throws a CliError with the nearest name when no agent has this one. */
export async function assertAgent(client: Client, name: string): Promise<void> {
  const known = (await client.list<AgentSummary>("/api/agents")).map((agent) => agent.name);
  if (!known.includes(name)) throw unknownName("agent", name, known, "npx lineshaft agents list", deployExample);
}

/** Prints steps as they come, until the run has ended; returns the finished run. */
async function follow(context: Context, client: Client, id: string, quiet: boolean): Promise<RunDetail> {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, context.signal]);
  const shown = new Set<number>();
  const waits = quiet ? undefined : new Waits(context);
  const show = (step: StepResource, currency: string) => {
    if (shown.has(step.number) || quiet) return;
    shown.add(step.number);
    context.terminal.note(stepLine(step, currency));
  };
  // Listening begins before past steps are read, so that no step is missed between the two.
  const events = client.events("/api/events", { signal });
  let next = events.next();
  let run = await client.get<RunDetail>(`/api/runs/${id}`);
  for (const step of run.step_list) show(step, run.currency);
  waits?.see(run);
  try {
    while (!ended.has(run.status)) {
      const { value, done } = await next;
      if (done)
        throw new CliError({
          message: "The connection ended before the run did.",
          hint: `See it: npx lineshaft runs show ${id}`,
        });
      const event = value.data as LiveEvent;
      if (event.type === "step" && event.run === id) show(event.step, run.currency);
      if (event.type === "run" && event.run.id === id) {
        run = { ...run, ...event.run };
        waits?.see(run);
      }
      next = events.next();
    }
  } finally {
    next.catch(() => {});
    stop.abort();
    waits?.end();
  }
  run = await client.get<RunDetail>(`/api/runs/${id}`);
  for (const step of run.step_list) show(step, run.currency);
  return run;
}

/** Prints the reason when a run begins to wait, and the time of its next try; on a terminal also the elapsed time. */
class Waits {
  readonly #context: Context;
  readonly #line: ReturnType<Context["terminal"]["progress"]>;
  readonly #timer: NodeJS.Timeout | undefined;
  #last: string | undefined;
  #saidAt = 0;
  #tries = 0;
  #doing = "begins";

  constructor(context: Context) {
    this.#context = context;
    const { terminal } = context;
    this.#line = terminal.progress();
    const begun = terminal.now();
    // Without a terminal only the lines of steps and waits are printed.
    if (terminal.stderr.isTTY)
      this.#timer = setInterval(() => this.#line.show(`  ${this.#doing}, ${duration(terminal.now() - begun)}`), 1000);
  }

  see(run: Run): void {
    this.#doing = run.status === "running" ? `step ${run.steps}` : run.status;
    if (run.status !== "waiting" || !run.error_message) return;
    const now = this.#context.terminal.now();
    const again = run.error_message === this.#last;
    this.#tries = again ? this.#tries + 1 : 1;
    this.#last = run.error_message;
    if (again && now - this.#saidAt < repeatMs) return;
    this.#saidAt = now;
    this.#context.terminal.note(`  ${waitLine(run, this.#tries, now)}`);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#line.done();
  }
}

/** "waits: REASON Tried again in 4 s (3rd try)." */
export function waitLine(run: Run, tries: number, now: number): string {
  const reason = run.error_message!.replace(/\.?$/, ".");
  if (run.wakes_at === null) return `waits for a person: ${reason} See it: npx lineshaft runs show ${run.id}`;
  const seconds = Math.max(0, new Date(run.wakes_at).getTime() - now);
  return `waits: ${reason} Next try in ${duration(seconds)}${tries > 1 ? ` (failed ${tries} times)` : ""}.`;
}

async function findRun(client: Client, id: string): Promise<RunDetail> {
  if (id === "latest") {
    const [newest] = await client.list<Run>("/api/runs", {}, 1);
    if (newest) return client.get<RunDetail>(`/api/runs/${newest.id}`);
    throw new CliError({
      code: "not_found",
      message: "There is no run yet.",
      hint: "Start one: npx lineshaft run AGENT --input FILE --follow",
    });
  }
  try {
    return await client.get<RunDetail>(`/api/runs/${encodeURIComponent(id)}`);
  } catch (error) {
    if (!(error instanceof AnsweredError) || error.status !== 404) throw error;
  }
  const known = (await client.list<Run>("/api/runs", {}, prefixSearchRuns)).map((run) => run.id);
  return client.get<RunDetail>(`/api/runs/${uniqueByPrefix("run", id, known, "npx lineshaft runs list")}`);
}

function took(from: string | null, to: string | null): string {
  return from && to ? duration(new Date(to).getTime() - new Date(from).getTime()) : "-";
}

function stepLine(step: StepResource, currency: string): string {
  const effect = step.effect
    ? `, effect ${step.effect.attested ? `attested by ${step.effect.attested.by}` : step.effect.state}`
    : "";
  const cost = step.cost_nano === "0" ? "" : `, ${money(step.cost_nano, currency)}`;
  const failure = step.status === "failed" ? ` failed: ${step.error_message ?? ""}` : "";
  return `  ${step.number}  ${step.kind} ${step.name} (${took(step.started_at, step.ended_at)}${cost}${effect})${failure}`;
}

function summary(run: RunDetail, now: number): string[] {
  const rows: [string, string][] = [
    ["run", run.id],
    ["agent", `${run.agent} v${run.version}`],
    ["status", run.status],
    ["took", took(run.started_at ?? run.created_at, run.ended_at)],
    [
      "tokens",
      `${count(run.prompt_tokens)} prompt (${count(run.cached_tokens)} cached), ${count(run.output_tokens)} output`,
    ],
    ["cost", money(run.cost_nano, run.currency)],
  ];
  if (run.outcome)
    rows.push(
      ["outcome", `${run.outcome.verdict}${run.outcome.attested ? " (attested)" : ""}: ${run.outcome.reason}`],
      ["result", run.outcome.verdict === "passed" ? money(run.outcome.price_nano, run.outcome.currency) : "not billed"],
    );
  if (run.status === "waiting" && run.error_message) {
    rows.push(["waits for", `${run.error_message} (${run.error_code})`]);
    rows.push(["next try", run.wakes_at === null ? "when a person has decided" : relativeTime(run.wakes_at, now)]);
  } else if (run.error_message) rows.push(["error", `${run.error_message} (${run.error_code})`]);
  if (run.output !== null && run.output !== undefined) rows.push(["output", JSON.stringify(run.output)]);
  return pairs(rows);
}

function stepTable(run: RunDetail): string[] {
  return table(run.step_list, [
    { title: "step", value: (row) => String(row.number), right: true },
    { title: "kind", value: (row) => row.kind },
    { title: "name", value: (row) => row.name },
    { title: "status", value: (row) => row.status },
    { title: "took", value: (row) => took(row.started_at, row.ended_at), right: true },
    { title: "cost", value: (row) => (row.cost_nano === "0" ? "-" : money(row.cost_nano, run.currency)), right: true },
    {
      title: "effect",
      value: (row) => (row.effect ? `${row.effect.attested ? "attested" : row.effect.state} ${row.effect.key}` : "-"),
    },
    { title: "note", value: (row) => row.error_message ?? "" },
  ]);
}
