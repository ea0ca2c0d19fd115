// `lineshaft deployments`: the models that this machine serves itself, with their workers and roles. `deploy` publishes one.
import { setTimeout as sleep } from "node:timers/promises";
import { InvalidArgumentError, type Command } from "commander";
import type { DeploymentResource } from "../contract/index.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { count, pairs, relativeTime, table } from "./format.ts";
import { unknownName } from "./nearest.ts";

/** How often a changing deployment is polled. */
const lookMs = 300;
const listCommand = "npx lineshaft deployments list";

interface ScaleOptions {
  replicas?: number;
  prefill?: number;
  decode?: number;
  both?: number;
  json?: boolean;
}

export function registerDeployments(program: Command, context: Context): void {
  const { terminal } = context;
  const deployments = group(program, "deployments", {
    about: "What this machine serves itself: workers of each model, their roles, which one serves a call",
    examples: ["npx lineshaft deployments list", "npx lineshaft deployments scale smollm2-135m-instruct --replicas 2"],
  });

  verb(deployments, "list", {
    about: "List deployments with their workers",
    examples: ["npx lineshaft deployments list", "npx lineshaft deployments list --json"],
  }).action(async (options: { json?: boolean }) => {
    const list = await context.client().list<DeploymentResource>("/api/deployments");
    if (options.json) return terminal.printJson({ data: list });
    const columns = [
      { title: "name", value: (row: DeploymentResource) => row.name },
      { title: "state", value: (row: DeploymentResource) => row.state },
      { title: "workers", value: (row: DeploymentResource) => workersText(row) },
      { title: "placement", value: (row: DeploymentResource) => String(row.manifest["placement"]) },
      { title: "changed", value: (row: DeploymentResource) => relativeTime(row.updated_at, terminal.now()) },
      { title: "note", value: (row: DeploymentResource) => row.error?.message ?? row.notes[0] ?? "" },
    ];
    for (const line of table(list, columns)) terminal.print(line);
  });

  verb(deployments, "show <name>", {
    about: "Show a deployment: its manifest, its workers, and why it is as it is",
    examples: [
      "npx lineshaft deployments show smollm2-135m-instruct",
      "npx lineshaft deployments show smollm2-135m-instruct --json",
    ],
  }).action(async (name: string, options: { json?: boolean }) => {
    const found = await find(context, name);
    if (options.json) return terminal.printJson(found);
    for (const line of showLines(found, terminal.now())) terminal.print(line);
  });

  verb(deployments, "scale <name>", {
    about:
      "Change how many workers serve a deployment, live: those that stay are not restarted, those that go end their calls",
    examples: [
      "npx lineshaft deployments scale smollm2-135m-instruct --replicas 2",
      "npx lineshaft deployments scale smollm2-135m-instruct --prefill 1 --decode 1",
    ],
  })
    .option("--replicas <number>", "workers that prefill and decode", whole)
    .option("--prefill <number>", "workers that compute prompts for others", whole)
    .option("--decode <number>", "workers that write answers to prompts that others computed", whole)
    .option("--both <number>", "workers that do both, beside those of one role", whole)
    .action(async (name: string, options: ScaleOptions) => {
      const { replicas, prefill, decode, both } = options;
      const byRole = prefill !== undefined || decode !== undefined || both !== undefined;
      if ((replicas !== undefined) === byRole)
        throw new CliError({
          exitCode: 2,
          message: "How many workers there should be was not said once.",
          why: byRole ? "--replicas and roles were given together." : "Neither --replicas nor a role was given.",
          hint: `Write --replicas 2, or --prefill 1 --decode 1.`,
        });
      const { replicas: _before, roles: _roles, ...rest } = (await find(context, name)).manifest;
      const roles = { prefill: prefill ?? 0, decode: decode ?? 0, both: both ?? 0 };
      await publishDeployment(context, { ...rest, ...(byRole ? { roles } : { replicas }) }, options);
    });

  verb(deployments, "remove <name>", {
    about: "Stop serving a deployment and erase the KV that its workers parked",
    examples: ["npx lineshaft deployments remove chat", "npx lineshaft deployments remove chat --json"],
  }).action(async (name: string, options: { json?: boolean }) => {
    await find(context, name);
    await context.client().delete(addressOf(name));
    if (options.json) return terminal.printJson({ name, removed: true });
    terminal.print(`Deployment ${name} is removed; calls under way end first.`);
  });
}

/** Publishes a manifest and waits until its workers run. Throws a CliError when they fail to start. */
export async function publishDeployment(
  context: Context,
  manifest: Record<string, unknown>,
  options: { json?: boolean },
): Promise<void> {
  const { terminal } = context;
  const name = String(manifest["name"]);
  const published = await context
    .client()
    .put<DeploymentResource & { changed: boolean }>(addressOf(name), { manifest });
  const now = await settled(context, published);
  if (now.error)
    throw new CliError({
      code: now.error.code,
      message: `Deployment ${name} is published, but not all of its workers run.`,
      why: now.error.message,
      hint: now.error.hint,
    });
  if (options.json) return terminal.printJson({ ...now, changed: published.changed });
  terminal.print(
    published.changed
      ? `Deployment ${name} is served by ${workersText(now)}.`
      : `Deployment ${name} is served by ${workersText(now)} already; nothing changed.`,
  );
  for (const note of now.notes) terminal.note(note);
}

/** Polls until no worker is starting or leaving. */
async function settled(context: Context, first: DeploymentResource): Promise<DeploymentResource> {
  const { terminal, signal } = context;
  const progress = terminal.progress();
  let now = first;
  try {
    while (now.state === "changing") {
      const states = now.endpoints.map(({ endpoint, state }) => `${endpoint} ${state}`);
      progress.show(`Deployment ${now.name}: ${states.join(", ") || "its model is fetched"}`);
      await sleep(lookMs, undefined, { signal });
      now = await context.client().get<DeploymentResource>(addressOf(now.name));
    }
    return now;
  } finally {
    progress.done();
  }
}

async function find(context: Context, name: string): Promise<DeploymentResource> {
  const list = await context.client().list<DeploymentResource>("/api/deployments");
  const found = list.find((one) => one.name === name);
  if (found) return found;
  throw unknownName(
    "deployment",
    name,
    list.map((one) => one.name),
    listCommand,
  );
}

const addressOf = (name: string): string => `/api/deployments/${encodeURIComponent(name)}`;

function showLines(deployment: DeploymentResource, now: number): string[] {
  const { manifest } = deployment;
  const given = (field: string, otherwise: string) =>
    manifest[field] === undefined ? otherwise : String(manifest[field]);
  const head = pairs([
    ["name", deployment.name],
    ["state", deployment.state],
    ["model", given("model", "the instance's (LINESHAFT_MODEL)")],
    ["workers", workersText(deployment)],
    ["placement", given("placement", "-")],
    ["slots", given("slots", "-")],
    ["context", given("context_tokens", "what the model was trained for, at most 4,096 tokens")],
    ["threads", given("threads", "its share of the cores")],
    ["from", deployment.source === "published" ? "a manifest" : "the environment of the start"],
    ["changed", relativeTime(deployment.updated_at, now)],
  ]);
  const workers = table(deployment.endpoints, [
    { title: "endpoint", value: (row) => row.endpoint },
    { title: "role", value: (row) => row.role },
    { title: "state", value: (row) => row.state },
    { title: "threads", value: (row) => count(row.threads), right: true },
  ]);
  const { error, notes } = deployment;
  return [
    ...head,
    "",
    ...workers,
    ...(error ? ["", error.message, error.hint] : []),
    ...(notes.length > 0 ? ["", ...notes] : []),
  ];
}

/** "2 workers", "1 prefill, 1 decode": the wanted workers. */
function workersText({ manifest }: DeploymentResource): string {
  const roles = manifest["roles"] as Record<string, number> | undefined;
  if (!roles) {
    const replicas = Number(manifest["replicas"] ?? 1);
    return replicas === 0 ? "no worker" : `${replicas} ${replicas === 1 ? "worker" : "workers"}`;
  }
  const words = Object.entries(roles).filter(([, number]) => number > 0);
  return words.map(([role, number]) => `${number} ${role}`).join(", ");
}

function whole(text: string): number {
  if (!/^\d{1,3}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
}
