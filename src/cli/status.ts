// `lineshaft status`: the instance's health, its components, and their memory.
import type { Command } from "commander";
import type { AlarmResource, ComponentStatus, DeploymentStatus, EndpointStatus, Status } from "../contract/index.ts";
import { verb, type Context } from "./context.ts";
import { bytes, count, pairs, relativeTime, table } from "./format.ts";

export function registerStatus(program: Command, context: Context): void {
  verb(program, "status", {
    about:
      "Show components, deployments and the memory of the whole process tree; exits 1 when anything is not well, an engine that was added included",
    examples: ["npx lineshaft status", "npx lineshaft status --json"],
  }).action(async (options: { json?: boolean }) => {
    const { terminal } = context;
    const status = await context.client().get<Status>("/api/status");
    if (!status.healthy) process.exitCode = 1;
    if (options.json) return terminal.printJson(status);
    for (const line of statusLines(status, terminal.now())) terminal.print(line);
  });
}

function statusLines(status: Status, now: number): string[] {
  const head = pairs([
    ["state", status.healthy ? "healthy" : stateOf(status)],
    ["address", status.address],
    ["version", status.version],
    ["up since", relativeTime(status.started_at, now)],
    [
      "tenant",
      `${status.organisation.name} / ${status.project.name} (${status.role}, ${status.organisation.currency})`,
    ],
    [
      "disk",
      `${status.storage.state === "ok" ? "" : "storage_full: "}${bytes(status.storage.free_bytes)} free under the home`,
    ],
    ["memory", `${bytes(status.memory.total_rss_bytes)} resident in the whole process tree`],
  ]);
  const components = table(status.components, [
    { title: "component", value: (row: ComponentStatus) => row.name },
    { title: "state", value: (row) => row.state },
    { title: "pid", value: (row) => (row.pid === undefined ? "-" : String(row.pid)), right: true },
    { title: "restarts", value: (row) => count(row.restarts), right: true },
    { title: "memory", value: (row) => (row.rss_bytes === undefined ? "-" : bytes(row.rss_bytes)), right: true },
    { title: "started", value: (row) => (row.started_at ? relativeTime(row.started_at, now) : "-") },
  ]);
  const troubles = status.components
    .filter((component) => component.last_error)
    .map((component) => `${component.name} ended before: ${component.last_error}`);
  const deployments = table(status.deployments, [
    { title: "model", value: (row: DeploymentStatus) => row.name },
    { title: "engine", value: (row) => row.engine },
    { title: "state", value: (row) => row.state },
    { title: "endpoints", value: (row) => count(row.endpoints.length), right: true },
    { title: "placement", value: (row) => row.placement ?? "-" },
    {
      title: "kv on disk",
      value: (row) => (row.disk ? `${bytes(row.disk.used_bytes)} of ${bytes(row.disk.budget_bytes)}` : "-"),
      right: true,
    },
    { title: "note", value: (row) => row.error ?? "" },
  ]);
  const endpoints = endpointLines(status.deployments);
  return [
    ...head,
    "",
    ...(status.troubles.length > 0 ? [...status.troubles, ""] : []),
    ...alarmLines(status.alarms, now),
    ...components,
    ...(troubles.length > 0 ? ["", ...troubles] : []),
    "",
    ...deployments,
    "",
    ...endpoints,
    ...clientLines(status.deployments),
  ];
}

/** Which coding agents each model's context holds, a line for each model that has said its context. */
function clientLines(deployments: DeploymentStatus[]): string[] {
  const lines = deployments.flatMap(({ name, clients = [] }) => {
    if (clients.length === 0) return [];
    const named = (fits: boolean) =>
      clients
        .filter((client) => client.fits === fits)
        .map((client) => (fits ? client.name : `${client.name} (needs ${count(client.needs_tokens)} tokens)`))
        .join(", ");
    const [holds, short] = [named(true), named(false)];
    return [
      holds === ""
        ? `The context of ${name} is too short for ${short}.`
        : `The context of ${name} holds ${holds}${short === "" ? "" : `; too short for ${short}`}.`,
    ];
  });
  return lines.length === 0 ? [] : ["", ...lines];
}

/** `degraded`: some models can be called, others not. */
const stateOf = ({ deployments }: Status): string =>
  deployments.some(({ state }) => state === "ready" || state === "partial") ? "degraded" : "not healthy";

/** The active alarms, two lines each; nothing if there are none. */
export function alarmLines(alarms: AlarmResource[], now: number): string[] {
  if (alarms.length === 0) return [];
  const lines = alarms.flatMap(({ id, code, subject, message, count: times, last_at }) => [
    `${code}${subject === null ? "" : ` (${subject})`}, ${times === 1 ? "once" : `${count(times)} times`}, last ${relativeTime(last_at, now)}, ${id}`,
    `  ${message}`,
  ]);
  return [
    `${alarms.length === 1 ? "1 alarm" : `${alarms.length} alarms`} (dismiss one that was seen: npx lineshaft alarms dismiss ID)`,
    ...lines,
    "",
  ];
}

/** One line for each endpoint of each deployment. */
function endpointLines(deployments: DeploymentStatus[]): string[] {
  const rows = deployments.flatMap(({ name, endpoints }) => endpoints.map((endpoint) => ({ ...endpoint, name })));
  return table(rows, [
    { title: "endpoint", value: (row) => row.endpoint },
    { title: "model", value: (row) => row.name },
    { title: "role", value: (row) => row.role },
    { title: "state", value: (row) => row.state },
    { title: "running", value: (row) => ofLimit(row.running, row.slots), right: true },
    { title: "waiting", value: (row) => optional(row.waiting, count), right: true },
    { title: "context", value: (row) => optional(row.context_tokens, count), right: true },
    { title: "rss", value: (row) => optional(row.memory?.rss_bytes, bytes), right: true },
    { title: "kv", value: (row) => optional(row.memory?.kv_bytes, bytes), right: true },
    { title: "cached", value: (row) => optional(cachedTokens(row), count), right: true },
    { title: "computed", value: (row) => optional(row.totals?.computed_tokens, count), right: true },
    { title: "note", value: (row) => row.error ?? "" },
  ]);
}

/** Prompt tokens that came from the cache, since the endpoint's start. */
const cachedTokens = ({ totals }: EndpointStatus): number | undefined =>
  totals && totals.cached_device_tokens + totals.cached_disk_tokens;

const optional = (value: number | undefined, write: (value: number) => string): string =>
  value === undefined ? "-" : write(value);

function ofLimit(value: number | undefined, limit: number | undefined): string {
  if (value === undefined) return "-";
  return limit === undefined ? count(value) : `${count(value)} of ${count(limit)}`;
}
