// `lineshaft keys`: the keys of an organisation. One path does not use the public API: when the credentials file is gone, a user that may
// read the home may make a new owner key, because they could read the database and its secrets anyway.
import type { Command } from "commander";
import { Home } from "../fleet/index.ts";
import type { KeyResource } from "../contract/index.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { relativeTime, table } from "./format.ts";
import { findNamed } from "./nearest.ts";

type CreatedKey = KeyResource & { secret: string };

export function registerKeys(program: Command, context: Context): void {
  const keys = group(program, "keys", {
    about: "Keys: the callers of the instance, and what each may do",
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
    if (list.length === 0) terminal.note("No keys yet. Make one: npx lineshaft keys create NAME");
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
    const { id: found, name } = liveKey(await client.list<KeyResource>("/api/keys"), id, context.terminal.now());
    await client.delete(`/api/keys/${found}`);
    if (options.json) return context.terminal.printJson({ id: found, name, revoked: true });
    context.terminal.print(`Key ${name} (${found}) is revoked.`);
  });
}

/** The unrevoked key of that name or id. Throws a CliError, which says so if the key is revoked already. */
export function liveKey(keys: readonly KeyResource[], written: string, now: number): KeyResource {
  const live = keys.filter((key) => !key.revoked_at);
  const revoked = keys.find((key) => key.revoked_at && (key.name === written || key.id === written));
  if (revoked && !live.some((key) => key.name === written))
    throw new CliError({
      code: "key_revoked",
      message: `Key ${revoked.name} (${revoked.id}) is revoked already.`,
      why: `That was ${relativeTime(revoked.revoked_at!, now)}, and no other key is named ${written}.`,
      hint: "Nothing is left to do; `npx lineshaft keys list` shows all keys.",
    });
  return findNamed(
    "key",
    written,
    live,
    "npx lineshaft keys list",
    (key) => `${key.role}, made ${relativeTime(key.created_at, now)}`,
  );
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
  const { createOwnerKeyLocally } = await import("../instance/ownerKey.ts");
  const made = await createOwnerKeyLocally(home, main, name, context.env);
  home.writeCredentials({ address: main.address, key: made.secret });
  context.terminal.note(
    `There was no credentials file, so this is an owner key; it is kept in ${home.credentialsPath}.`,
  );
  return made;
}
