// What the database holds: which room owns each table, view and function, and what the runtime role may do with it. Only the owning
// room's statements name a table (test/tables.test.ts); other rooms ask through that room's verbs. The test beside this file fails for
// a table, view or function that is not declared, and for an append-only table whose migration made no triggers.
//
// Grants say what the runtime role may do. Triggers (migrations/, `make_append_only`) say what no role may do with ordinary
// statements, the owner included; docs/security.md says how retention and erasure are done all the same.
import type { Client, PoolClient } from "pg";

type Access =
  /** Rows are added and never changed or removed. `written: "by function"`: added by the functions below only. */
  | { class: "append-only"; written: "directly" | "by function" }
  /** Rows stay; only the named columns move. */
  | { class: "state"; columns: string[] }
  /** Written by the functions below only, for example a counter that must agree with other rows. */
  | { class: "by function"; columns?: string[] }
  /** Configuration: rows come, change and go. */
  | { class: "free" };

/** The room whose statements may name it. */
type Owned = { room: string };

const appendOnly: Access = { class: "append-only", written: "directly" };
const free: Access = { class: "free" };

export const access: Record<string, Owned & Access> = {
  accounts: { room: "ledger", class: "by function" },
  // A row of its name is locked while a version is published, and a lock needs the right to update some column.
  agents: { room: "agents", class: "state", columns: ["name"] },
  agent_versions: { room: "agents", ...appendOnly },
  alarms: { room: "telemetry", ...free },
  attempts: { room: "gateway", ...appendOnly },
  attestations: { room: "agents", ...appendOnly },
  batch_lines: { room: "gateway", ...free },
  batch_prices: { room: "gateway", ...free },
  batches: { room: "gateway", ...free },
  blobs: { room: "store", ...appendOnly },
  budget_changes: { room: "ledger", class: "by function" },
  budget_periods: { room: "ledger", class: "by function" },
  budgets: { room: "ledger", class: "by function" },
  calls: { room: "gateway", ...appendOnly },
  conversation_items: { room: "gateway", ...free },
  conversations: { room: "gateway", ...free },
  creations: { room: "api", ...free },
  deployments: { room: "fleet", ...free },
  effects: { room: "agents", class: "state", columns: ["state", "result_ref", "attempts", "updated_at"] },
  engines: { room: "gateway", ...free },
  epochs: { room: "ledger", class: "by function", columns: ["seen_at", "process"] },
  entries: { room: "ledger", class: "append-only", written: "by function" },
  file_chunks: { room: "gateway", ...free },
  files: { room: "gateway", ...free },
  instance_incarnation: { room: "ledger", class: "by function" },
  journals: { room: "ledger", ...appendOnly },
  kept_answers: { room: "gateway", ...free },
  keys: { room: "governance", class: "state", columns: ["revoked_at"] },
  leases: { room: "ledger", class: "by function" },
  limit_counted: { room: "governance", class: "by function" },
  limit_shares: { room: "governance", class: "by function" },
  model_routes: { room: "gateway", ...free },
  organisations: { room: "governance", class: "state", columns: ["name"] },
  outcomes: { room: "ledger", ...appendOnly },
  price_policies: { room: "ledger", ...free },
  projects: { room: "governance", class: "state", columns: [] },
  proofs: { room: "ledger", ...appendOnly },
  proven_batches: { room: "ledger", ...appendOnly },
  quarantine: { room: "ledger", class: "append-only", written: "by function" },
  rate_cards: { room: "ledger", ...appendOnly },
  response_items: { room: "gateway", ...free },
  response_settings: { room: "gateway", ...free },
  responses: { room: "gateway", ...free },
  runs: {
    room: "agents",
    class: "state",
    columns: [
      "status",
      "next_step",
      "retries",
      "wake_at",
      "paused_ms",
      "owner",
      "fence",
      "output_ref",
      "error_code",
      "error_message",
      "started_at",
      "ended_at",
      "updated_at",
    ],
  },
  run_waits: {
    room: "agents",
    class: "state",
    columns: ["message", "times", "waited_ms", "open_since", "until"],
  },
  secrets: { room: "governance", class: "state", columns: ["sealed", "removed_at"] },
  settlements: { room: "ledger", class: "append-only", written: "by function" },
  spools: { room: "ledger", class: "by function" },
  steps: { room: "agents", ...appendOnly },
  stored_bytes: { room: "gateway", ...free },
  suspense: { room: "ledger", class: "by function" },
  usage_days: { room: "ledger", class: "by function" },
  usage_spans: { room: "ledger", class: "by function" },
  usage_limits: { room: "governance", ...free },
};

/**
 * The functions of the migrations. `writes`: it writes tables which the runtime role only reads, so it runs with the owner's rights and
 * a fixed search path; the others run with the rights of their caller.
 */
export const functions: Record<string, Owned & { writes?: true }> = {
  acknowledge: { room: "ledger", writes: true },
  add_spool: { room: "ledger", writes: true },
  add_stored_bytes: { room: "gateway" },
  advance_spool: { room: "ledger" },
  begin_epoch: { room: "ledger", writes: true },
  book_suspense: { room: "ledger" },
  budget_period_end: { room: "ledger" },
  budget_period_start: { room: "ledger" },
  budgets_of: { room: "ledger" },
  cache_saving: { room: "ledger" },
  charge_budgets: { room: "ledger" },
  charge_older: { room: "ledger" },
  check_effect_move: { room: "agents" },
  clear_pending: { room: "ledger" },
  close_epoch: { room: "ledger", writes: true },
  count_stored_bytes: { room: "gateway" },
  count_usage: { room: "ledger" },
  damage_spool: { room: "ledger", writes: true },
  draw_on_lost: { room: "ledger" },
  end_budget: { room: "ledger", writes: true },
  fence_epoch: { room: "ledger", writes: true },
  forget_batch_price: { room: "gateway" },
  leased_of: { room: "ledger" },
  ledger_now: { room: "ledger" },
  lock_budgets_at: { room: "ledger" },
  lock_budgets_by_id: { room: "ledger" },
  lock_spool: { room: "ledger", writes: true },
  make_append_only: { room: "store" },
  newest_of: { room: "ledger" },
  pending_budgets: { room: "ledger" },
  post_batch: { room: "ledger", writes: true },
  post_entries: { room: "ledger", writes: true },
  quarantine_record: { room: "ledger", writes: true },
  reclaim_limit_shares: { room: "governance", writes: true },
  refuse_change: { room: "store" },
  remove_budget: { room: "ledger", writes: true },
  require_live: { room: "ledger" },
  return_leases: { room: "ledger", writes: true },
  set_budget: { room: "ledger", writes: true },
  spent_since: { room: "ledger" },
  take_leases: { room: "ledger", writes: true },
  tell_change: { room: "store" },
  usage_day: { room: "ledger" },
  sync_limit_shares: { room: "governance", writes: true },
};

export const ownersFunctions = Object.keys(functions).filter((name) => functions[name]!.writes);

/** Everything that a class grants besides reading. */
export function grantsOf(of: Access): string[] {
  switch (of.class) {
    case "append-only":
      return of.written === "directly" ? ["insert"] : [];
    case "state":
      return ["insert", ...updateOf(of.columns)];
    case "by function":
      return updateOf(of.columns ?? []);
    case "free":
      return ["insert", "update", "delete"];
  }
}

function updateOf(columns: string[]): string[] {
  return columns.length > 0 ? [`update (${columns.join(", ")})`] : [];
}

/** Brings grants and functions to what is declared. Run by the owner after the migrations, with their lock held. */
export async function applyAccess(client: Client | PoolClient, runtime: string): Promise<void> {
  const role = client.escapeIdentifier(runtime);
  const { rows: tables } = await client.query<{ name: string }>(
    "select relname::text as name from pg_class where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')",
  );
  const { rows: functions } = await client.query<{ signature: string; schema: string }>(
    `select oid::regprocedure::text as signature, current_schema()::text as schema
     from pg_proc where pronamespace = current_schema()::regnamespace and proname = any($1)`,
    [ownersFunctions],
  );
  const statements = [
    `grant usage on schema ${client.escapeIdentifier(functions[0]?.schema ?? "public")} to ${role}`,
    // Tables of later migrations can be read and added to until their class is declared.
    `alter default privileges grant select, insert on tables to ${role}`,
    ...tables.flatMap(({ name }) => tableStatements(client.escapeIdentifier(name), name, role)),
    ...functions.flatMap(({ signature, schema }) => [
      `alter function ${signature} security definer`,
      `alter function ${signature} set search_path = pg_catalog, ${client.escapeIdentifier(schema)}, pg_temp`,
      `revoke execute on function ${signature} from public`,
      `grant execute on function ${signature} to ${role}`,
    ]),
  ];
  await client.query("begin");
  try {
    await client.query(statements.join(";\n"));
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

function tableStatements(table: string, name: string, role: string): string[] {
  if (name === "migrations") return [`revoke all on ${table} from ${role}`, `grant select on ${table} to ${role}`];
  const declared = access[name];
  if (!declared) return [];
  // Rights on columns are taken away with those on the table.
  return [
    `revoke all on ${table} from ${role}`,
    `grant select on ${table} to ${role}`,
    ...grantsOf(declared).map((right) => `grant ${right} on ${table} to ${role}`),
  ];
}
