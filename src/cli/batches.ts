// `lineshaft batches`: the calls of a file, served in idle capacity at batch prices. They are made, cancelled and read by OpenAI's Batch
// API; lists come from /api/batches, which knows their price.
import { openAsBlob } from "node:fs";
import { access } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Option, type Command } from "commander";
import type { BatchObject, BatchResource, FileObject } from "../contract/index.ts";
import type { Client } from "./client.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { count, duration, money, pairs, relativeTime, table } from "./format.ts";
import { readInput } from "./input.ts";
import { uniqueByPrefix } from "./nearest.ts";
import { wholeNumber } from "./options.ts";
import { saved } from "./save.ts";

const listCommand = "npx lineshaft batches list";
const statuses: BatchResource["status"][] = [
  "validating",
  "in_progress",
  "completed",
  "failed",
  "expired",
  "cancelling",
  "cancelled",
];
const endpoints = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"];
/** How often a batch that is followed is looked at. */
const lookMs = 1_000;
/** The newest batches that are searched for the beginning of an id. */
const searched = 1_000;

const isOver = ({ status }: Pick<BatchResource, "status">): boolean =>
  status !== "validating" && status !== "in_progress" && status !== "cancelling";

export function registerBatches(program: Command, context: Context): void {
  const batches = group(program, "batches", {
    about: "Batches: the calls of a JSON Lines file, served within 24 hours where engines have room, at batch prices",
    examples: [listCommand, "npx lineshaft batches create calls.jsonl --follow"],
  });
  registerRead(batches, context);
  registerCreate(batches, context);
  registerResults(batches, context);

  verb(batches, "cancel <id>", {
    about: "Begin no further call of a batch; what was served stays, and is paid for",
    examples: ["npx lineshaft batches cancel latest", "npx lineshaft batches cancel latest --json"],
  }).action(async (written: string, options: { json?: boolean }) => {
    const client = context.client();
    const { id } = await findBatch(client, written);
    const cancelled = await cancel(client, id);
    if (options.json) return context.terminal.printJson(cancelled);
    context.terminal.print(`Batch ${id} is ${cancelled.status}.`);
  });
}

/** Each API cancels the batches that it made. */
async function cancel(client: Client, id: string): Promise<BatchObject | BatchResource> {
  if (!id.startsWith("msgbatch_")) return client.post<BatchObject>(`/v1/batches/${id}/cancel`, {});
  await client.post(`/v1/messages/batches/${id}/cancel`, {});
  return client.get<BatchResource>(`/api/batches/${id}`);
}

function registerRead(batches: Command, context: Context): void {
  const { terminal } = context;
  verb(batches, "list", {
    about: "List batches, newest first",
    examples: [listCommand, "npx lineshaft batches list --status in_progress --json"],
  })
    .addOption(new Option("--status <status>", "only those in this state").choices(statuses))
    .option("--limit <number>", "most batches to list", wholeNumber, 20)
    .action(async (options: { status?: string; limit: number; json?: boolean }) => {
      const { status, limit } = options;
      const list = await context.client().list<BatchResource>("/api/batches", { status }, limit);
      if (options.json) return terminal.printJson({ data: list });
      const now = terminal.now();
      for (const line of table(list, [
        { title: "id", value: (row) => row.id },
        { title: "status", value: (row) => row.status },
        { title: "endpoint", value: (row) => row.endpoint },
        { title: "served", value: servedText, right: true },
        { title: "failed", value: (row) => count(row.failed), right: true },
        { title: "price", value: (row) => money(row.price_nano, row.currency), right: true },
        { title: "made", value: (row) => relativeTime(row.created_at, now) },
      ]))
        terminal.print(line);
      if (list.length === 0)
        terminal.note(
          status === undefined
            ? "No batches yet. Make one: npx lineshaft batches create FILE"
            : `No batch is ${status}. See all: ${listCommand}`,
        );
    });

  verb(batches, "show <id>", {
    about: "Show a batch by its id, a unique beginning of it, or the word latest",
    examples: ["npx lineshaft batches show latest", "npx lineshaft batches show latest --json"],
  }).action(async (written: string, options: { json?: boolean }) => {
    const found = await findBatch(context.client(), written);
    if (options.json) return terminal.printJson(found);
    for (const line of summary(found, terminal.now())) terminal.print(line);
  });
}

function registerCreate(batches: Command, context: Context): void {
  const { terminal } = context;
  verb(batches, "create <file>", {
    about:
      "Upload a JSON Lines file of calls and make a batch of it; with --follow, wait for it and exit by its result",
    examples: ["npx lineshaft batches create calls.jsonl --follow", "npx lineshaft batches create calls.jsonl --json"],
  })
    .addOption(
      new Option("--endpoint <path>", "what the lines call; the url of the first line where absent").choices(endpoints),
    )
    .option("--follow", "show how far it is, and wait for the end")
    .action(async (path: string, options: { endpoint?: string; follow?: boolean; json?: boolean }) => {
      const file = path === "-" ? new Blob([await readInput(path, terminal)]) : await opened(path);
      const endpoint = options.endpoint ?? (await endpointOf(file, path));
      const client = context.client();
      const made = await create(client, file, { name: path === "-" ? "stdin.jsonl" : basename(path), endpoint });
      if (!options.follow) {
        if (options.json) return terminal.printJson(made);
        terminal.print(made.id);
        terminal.note(`See it: npx lineshaft batches show ${made.id}`);
        return undefined;
      }
      const ended = await follow(context, client, made.id);
      if (options.json) terminal.printJson(ended);
      else for (const line of summary(ended, terminal.now())) terminal.print(line);
      if (ended.status !== "completed" || ended.failed > 0) process.exitCode = 1;
      return undefined;
    });
}

function registerResults(batches: Command, context: Context): void {
  const { terminal } = context;
  verb(batches, "results <id>", {
    about: "Write the results of a batch that has ended, one JSON value a line",
    examples: [
      "npx lineshaft batches results latest",
      "npx lineshaft batches results latest --output results.jsonl --errors errors.jsonl --json",
    ],
  })
    .option("--output <file>", "file for the results; stdout where absent")
    .option("--errors <file>", "file for the lines that failed")
    .action(async (written: string, options: { output?: string; errors?: string; json?: boolean }) => {
      if (options.json && options.output === undefined)
        throw new CliError({
          exitCode: 2,
          message: "With --json the results need a file.",
          why: "They are JSON Lines already, and stdout can hold one of the two.",
          hint: "Add --output FILE, or leave --json out.",
        });
      const client = context.client();
      const found = await findBatch(client, written);
      if (!isOver(found))
        throw new CliError({
          message: `Batch ${found.id} has no results yet: it is ${found.status}.`,
          why: `${servedText(found)} lines are served.`,
          hint: `Wait for it: npx lineshaft batches show ${found.id}`,
        });
      const output = await content(context, client, found.output_file, options.output);
      const errors =
        options.errors === undefined ? undefined : await content(context, client, found.error_file, options.errors);
      if (options.json) return terminal.printJson({ id: found.id, status: found.status, output, errors });
      if (found.output_file === null) terminal.note(`Batch ${found.id} is ${found.status}, and no line was served.`);
      if (found.error_file !== null && options.errors === undefined)
        terminal.note(`${count(found.failed)} lines failed. Write them too: --errors FILE`);
      for (const problem of found.problems) terminal.note(problemText(problem));
      return undefined;
    });
}

/** Writes a file of a batch to a path, or to stdout. The answer is what was written; null where the batch has no such file. */
async function content(
  context: Context,
  client: Client,
  file: string | null,
  path: string | undefined,
): Promise<{ file: string; path: string; bytes: number } | null> {
  if (file === null) return null;
  const from = `/v1/files/${file}/content`;
  if (path !== undefined) return { file, path, bytes: await saved(context, client, from, path) };
  const text = new TextDecoder();
  for await (const piece of await client.download(from))
    context.terminal.printRaw(text.decode(piece, { stream: true }));
  return null;
}

async function opened(path: string): Promise<Blob> {
  try {
    await access(path);
    return await openAsBlob(path);
  } catch (error) {
    throw new CliError({
      exitCode: 2,
      message: `${path} cannot be read.`,
      why: (error as NodeJS.ErrnoException).code === "ENOENT" ? "There is no such file." : (error as Error).message,
      hint: "Give the path of a JSON Lines file, or - for stdin.",
      cause: error,
    });
  }
}

/** Bytes of a file in which its first line has to end. A line may have as many (docs/api.md). */
const firstLineBytes = 8 * 1024 * 1024;

/** The endpoint that the first line of a file calls. Throws a CliError where the line names none. */
async function endpointOf(file: Blob, path: string): Promise<string> {
  const [line = ""] = (await file.slice(0, firstLineBytes).text()).trimStart().split("\n", 1);
  let url: unknown;
  try {
    url = (JSON.parse(line) as { url?: unknown } | null)?.url;
  } catch (error) {
    throw notLines(path, `It is not JSON: ${(error as Error).message}`);
  }
  if (typeof url === "string" && endpoints.includes(url)) return url;
  throw notLines(path, `Its \`url\` must be one of ${endpoints.join(", ")}.`);
}

const notLines = (path: string, why: string): CliError =>
  new CliError({
    exitCode: 2,
    message: `The first line of ${path === "-" ? "stdin" : path} is not a call of a batch.`,
    why,
    hint: 'Write one a line: {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "MODEL", "messages": []}}',
  });

async function create(
  client: Client,
  file: Blob,
  { name, endpoint }: { name: string; endpoint: string },
): Promise<BatchObject> {
  const form = new FormData();
  form.append("purpose", "batch");
  form.append("file", file, name);
  const { id } = await client.upload<FileObject>("/v1/files", form);
  return client.post<BatchObject>("/v1/batches", { input_file_id: id, endpoint, completion_window: "24h" });
}

/** Shows how far a batch is, until it has ended. */
async function follow(context: Context, client: Client, id: string): Promise<BatchResource> {
  const { terminal, signal } = context;
  const line = terminal.progress();
  const begun = terminal.now();
  try {
    for (;;) {
      const batch = await client.get<BatchResource>(`/api/batches/${id}`);
      if (isOver(batch)) {
        // A line's result is written before its call is paid for, so the price is whole a moment after the end.
        await sleep(lookMs, undefined, { signal });
        return await client.get<BatchResource>(`/api/batches/${id}`);
      }
      const failed = batch.failed === 0 ? "" : `, ${count(batch.failed)} failed`;
      line.show(`${id}: ${batch.status}, ${servedText(batch)} served${failed}, ${duration(terminal.now() - begun)}`);
      await sleep(lookMs, undefined, { signal });
    }
  } finally {
    line.done();
  }
}

async function findBatch(client: Client, written: string): Promise<BatchResource> {
  const list = await client.list<BatchResource>("/api/batches", {}, written === "latest" ? 1 : searched);
  if (written === "latest") {
    if (list[0]) return list[0];
    throw new CliError({
      code: "not_found",
      message: "There is no batch yet.",
      hint: "Make one: npx lineshaft batches create FILE",
    });
  }
  const ids = list.map(({ id }) => id);
  const id = uniqueByPrefix("batch", written, ids, listCommand);
  return list.find((batch) => batch.id === id)!;
}

const servedText = ({ completed, total }: BatchResource): string => `${count(completed)} of ${count(total)}`;

const problemText = ({ line, message }: BatchResource["problems"][number]): string =>
  line === null ? message : `Line ${count(line)}: ${message}`;

function summary(batch: BatchResource, now: number): string[] {
  const rows: [string, string][] = [
    ["batch", batch.id],
    ["status", batch.status],
    ["endpoint", batch.endpoint],
    ["served", servedText(batch)],
    ["failed", count(batch.failed)],
    ["price", money(batch.price_nano, batch.currency)],
    ["made", relativeTime(batch.created_at, now)],
  ];
  if (batch.ended_at === null) rows.push(["window ends", relativeTime(batch.expires_at, now)]);
  else rows.push(["took", duration(Date.parse(batch.ended_at) - Date.parse(batch.created_at))]);
  if (batch.output_file !== null) rows.push(["results", `npx lineshaft batches results ${batch.id} --output FILE`]);
  return [...pairs(rows), ...batch.problems.map(problemText)];
}
