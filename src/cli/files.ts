// `lineshaft files`: inputs and results of batches, as they lie in the project.
import type { Command } from "commander";
import type { FileObject } from "../contract/index.ts";
import type { Client } from "./client.ts";
import { group, verb, type Context } from "./context.ts";
import { bytes, relativeTime, table } from "./format.ts";
import { uniqueByPrefix } from "./nearest.ts";
import { saved } from "./save.ts";

const listCommand = "npx lineshaft files list";
/** As many as a project may have, so one page is all. */
const filesMost = 1_000;

export function registerFiles(program: Command, context: Context): void {
  const { terminal } = context;
  const files = group(program, "files", {
    about: "Files of batches: what was uploaded, and what batches have written",
    examples: [listCommand, "npx lineshaft files download latest --output results.jsonl"],
  });

  verb(files, "list", {
    about: "List files, newest first",
    examples: [listCommand, "npx lineshaft files list --json"],
  }).action(async (options: { json?: boolean }) => {
    const list = await all(context.client());
    if (options.json) return terminal.printJson({ data: list });
    const now = terminal.now();
    for (const line of table(list, [
      { title: "id", value: (row) => row.id },
      { title: "name", value: (row) => row.filename },
      { title: "purpose", value: (row) => row.purpose },
      { title: "size", value: (row) => bytes(row.bytes), right: true },
      { title: "made", value: (row) => relativeTime(new Date(row.created_at * 1000), now) },
      { title: "kept until", value: (row) => relativeTime(new Date(row.expires_at * 1000), now) },
    ]))
      terminal.print(line);
    if (list.length === 0) terminal.note("No files yet. A batch makes some: npx lineshaft batches create FILE");
  });

  verb(files, "download <id>", {
    about: "Write a file's bytes to a file here; by its id, a unique beginning of it, or the word latest",
    examples: [
      "npx lineshaft files download latest --output results.jsonl",
      "npx lineshaft files download latest --output results.jsonl --json",
    ],
  })
    .requiredOption("--output <file>", "where to write it")
    .action(async (written: string, options: { output: string; json?: boolean }) => {
      const client = context.client();
      const { id } = await find(client, written);
      const length = await saved(context, client, `/v1/files/${id}/content`, options.output);
      if (options.json) return terminal.printJson({ id, path: options.output, bytes: length });
      terminal.print(`${bytes(length)} of ${id} are in ${options.output}.`);
    });

  verb(files, "remove <id>", {
    about: "Delete a file before its time; by its id, a unique beginning of it, or the word latest",
    examples: ["npx lineshaft files remove latest", "npx lineshaft files remove latest --json"],
  }).action(async (written: string, options: { json?: boolean }) => {
    const client = context.client();
    const { id, filename } = await find(client, written);
    await client.delete(`/v1/files/${id}`);
    if (options.json) return terminal.printJson({ id, removed: true });
    terminal.print(`File ${filename} (${id}) is removed.`);
  });
}

const all = async (client: Client): Promise<FileObject[]> =>
  (await client.get<{ data: FileObject[] }>("/v1/files", { limit: filesMost })).data;

async function find(client: Client, written: string): Promise<FileObject> {
  const list = await all(client);
  const [newest] = list;
  if (written === "latest" && newest) return newest;
  const ids = list.map(({ id }) => id);
  const id = uniqueByPrefix("file", written, ids, listCommand);
  return list.find((file) => file.id === id)!;
}
