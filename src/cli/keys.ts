// `lineshaft keys`: who may call. One path is not the public API's: when the credentials file is gone, whoever may read the
// home may make a new owner key, because they could read the database and its secrets anyway.
import type { Command } from "commander";
import { Home } from "../fleet/index.ts";
import type { KeyResource } from "../gateway/api/schemas.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { relativeTime, table } from "./format.ts";
import { uniqueByPrefix } from "./nearest.ts";

type CreatedKey = KeyResource & { secret: string };

export function registerKeys(program: Command, context: Context): void {
  const keys = group(program, "keys", {
    about: "Keys: who may call and what they may do",
    examples: ["npx lineshaft keys list", "npx lineshaft keys create laptop"],
  });

  verb(keys, "list", {
    about: "List keys; secrets are never stored, so they are not shown",
    examples: ["npx lineshaft keys list", "npx lineshaft keys list --json"],
  }).action(async (options: { json?: boolean }) => {
    const { terminal } = context;
    const list = await context.client().list<KeyResource>("/api/keys");
    if (options.json) return terminal.printJson({ data: list });
    const now = terminal.now();
    for (const line of table(list, [
      { title: "id", value: (row) => row.id },
      { title: "name", value: (row) => row.name },
      { title: "role", value: (row) => row.role },
      { title: "created", value: (row) => relativeTime(row.created_at, now) },
      { title: "revoked", value: (row) => (row.revoked_at ? relativeTime(row.revoked_at, now) : "-") },
    ]))
      terminal.print(line);
  });

  verb(keys, "create <name>", {
    about: "Make a key and print its secret, once",
    examples: ["npx lineshaft keys create laptop", "npx lineshaft keys create admin --owner --json"],
  })
    .option("--owner", "may do everything; without it: calls, runs, and reading its project")
    .action(async (name: string, options: { owner?: boolean; json?: boolean }) => {
      const made = await create(context, name, options.owner ?? false);
      if (options.json) return context.terminal.printJson(made);
      context.terminal.print(made.secret);
      context.terminal.note(
        `Key ${made.id} (${made.role}) of project ${made.project}. It is shown this once: keep it.`,
      );
    });

  verb(keys, "revoke <id>", {
    about: "End a key at once, by its name or its id; a unique beginning of the id is enough",
    examples: ["npx lineshaft keys revoke laptop", "npx lineshaft keys revoke laptop --json"],
  }).action(async (id: string, options: { json?: boolean }) => {
    const client = context.client();
    const live = (await client.list<KeyResource>("/api/keys")).filter((key) => !key.revoked_at);
    const named = live.filter((key) => key.name === id);
    const found =
      named.length === 1
        ? named[0]!.id
        : uniqueByPrefix(
            "key",
            id,
            live.map((key) => key.id),
            "npx lineshaft keys list",
          );
    await client.delete(`/api/keys/${found}`);
    if (options.json) return context.terminal.printJson({ id: found, revoked: true });
    context.terminal.print(`Key ${found} is revoked.`);
  });
}

async function create(context: Context, name: string, owner: boolean): Promise<CreatedKey> {
  const home = Home.fromEnvironment(context.env);
  const remote = context.env["LINESHAFT_URL"] || context.env["LINESHAFT_KEY"];
  if (remote || home.credentials())
    return context.client().post<CreatedKey>("/api/keys", { name, role: owner ? "owner" : "member" });
  const main = home.readMain();
  if (!main?.address || home.isFree())
    throw new CliError({
      code: "not_started",
      message: "No key can be made: no Lineshaft runs on this home.",
      why: `${home.credentialsPath} is gone, and the database is only up while Lineshaft runs.`,
      hint: "Start it with `npm start`, then try again.",
    });
  const { createOwnerKeyLocally } = await import("./recovery.ts");
  const made = await createOwnerKeyLocally(home, main, name, context.env);
  home.writeCredentials({ address: main.address, key: made.secret });
  context.terminal.note(
    `There was no credentials file, so this is an owner key; it is kept in ${home.credentialsPath}.`,
  );
  return made;
}
