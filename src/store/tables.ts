// Rows of every table as Kysely sees them; kept in step with migrations/ by tables.test.ts.
import type { Generated, GeneratedAlways } from "kysely";

export interface BlobsTable {
  project: string;
  ref: string;
  body: string;
  created_at: Generated<Date>;
}

export interface OrganisationsTable {
  id: string;
  name: string;
  currency: string;
  created_at: Generated<Date>;
}

export interface ProjectsTable {
  id: string;
  organisation: string;
  name: string;
  created_at: Generated<Date>;
}

export interface KeysTable {
  id: string;
  organisation: string;
  project: string;
  name: string;
  role: "owner" | "member";
  secret_hmac: Buffer;
  created_at: Generated<Date>;
  revoked_at: Date | null;
}

export interface DeploymentsTable {
  name: string;
  organisation: string;
  manifest: unknown;
  source: "environment" | "published";
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

export interface EnginesTable {
  name: string;
  organisation: string;
  kind: "openai";
  urls: string[];
  model: string;
  key_env: string | null;
  allow_fields: Generated<string[]>;
  created_at: Generated<Date>;
  carried_key_urls: string[] | null;
}

export interface SecretsTable {
  id: string;
  organisation: string;
  project: string;
  name: string;
  hosts: string[];
  sealed: Buffer | null;
  created_by: string | null;
  created_at: Generated<Date>;
  removed_at: Date | null;
}

export interface RateCardsTable {
  id: string;
  organisation: string;
  model: string;
  version: number;
  currency: string;
  input_nano_per_million: bigint;
  cached_nano_per_million: bigint;
  output_nano_per_million: bigint;
  created_at: Generated<Date>;
}

export interface AccountsTable {
  id: string;
  organisation: string;
  kind: "token_cost" | "provider_cost" | "receivable" | "revenue" | "suspense";
  subject: string;
  currency: string;
  balance_nano: Generated<bigint>;
}

export interface JournalsTable {
  id: string;
  organisation: string;
  kind: "settlement" | "suspense" | "result" | "correction";
  corrects: string | null;
  created_at: Generated<Date>;
}

export interface EntriesTable {
  journal: string;
  account: string;
  amount_nano: bigint;
}

export interface AlarmsTable {
  id: string;
  organisation: string | null;
  code: string;
  message: string;
  subject: string | null;
  count: bigint;
  first_at: Date;
  last_at: Date;
}

export interface BudgetsTable {
  id: string;
  organisation: string;
  scope_kind: "organisation" | "project" | "key" | "agent" | "run";
  scope_id: string;
  scope: GeneratedAlways<string>;
  currency: string;
  limit_nano: bigint;
  spent_nano: Generated<bigint>;
  held_nano: Generated<bigint>;
  period: "total" | "month" | "day";
  period_start: Date;
  created_at: Generated<Date>;
}

export interface HoldsTable {
  attempt: string;
  call: string;
  organisation: string;
  project: string;
  agent: string | null;
  run: string | null;
  model: string;
  amount_nano: bigint;
  currency: string;
  scopes: string[];
  budgets: string[];
  rate_card: string;
  owner: bigint;
  settled: Generated<boolean>;
  created_at: Generated<Date>;
}

export interface SettlementsTable {
  attempt: string;
  organisation: string;
  amount_nano: bigint;
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  usage_source: "engine" | "counted" | "estimated";
  suspense_nano: Generated<bigint>;
  claimed_prompt_tokens: bigint | null;
  claimed_output_tokens: bigint | null;
  created_at: Generated<Date>;
}

export interface OutcomesTable {
  id: string;
  organisation: string;
  project: string;
  run: string;
  agent: string;
  contract: string;
  verifier: string;
  verdict: "passed" | "failed";
  reason: string;
  evidence_ref: string;
  attested: Generated<boolean>;
  price_nano: bigint;
  currency: string;
  created_at: Generated<Date>;
}

export interface AttestationsTable {
  id: string;
  organisation: string;
  project: string;
  run: string;
  effect: string;
  happened: boolean;
  note: string;
  author: string;
  author_name: string;
  created_at: Generated<Date>;
}

export interface CallsTable {
  id: string;
  organisation: string;
  project: string;
  key: string | null;
  agent: string | null;
  run: string | null;
  program: string | null;
  endpoint: "chat" | "completions";
  model: string;
  stream: boolean;
  status: "completed" | "refused" | "failed" | "cancelled";
  error_code: string | null;
  finish_reason: string | null;
  prompt_tokens: Generated<bigint>;
  cached_tokens: Generated<bigint>;
  output_tokens: Generated<bigint>;
  price_nano: Generated<bigint>;
  currency: string;
  started_at: Date;
  first_token_ms: number | null;
  duration_ms: number;
}

export interface AttemptsTable {
  id: string;
  call: string;
  number: number;
  engine: string;
  status: "completed" | "refused" | "failed" | "cancelled";
  error_code: string | null;
  decision: unknown | null;
  cached_by_tier: unknown | null;
  timings: unknown;
  prompt_tokens: Generated<bigint>;
  cached_tokens: Generated<bigint>;
  output_tokens: Generated<bigint>;
  price_nano: Generated<bigint>;
  suspense_nano: Generated<bigint>;
  claimed_prompt_tokens: bigint | null;
  claimed_output_tokens: bigint | null;
}

export interface AgentsTable {
  id: string;
  organisation: string;
  project: string;
  name: string;
  created_at: Generated<Date>;
}

export interface AgentVersionsTable {
  id: string;
  agent: string;
  number: number;
  manifest_ref: string;
  created_at: Generated<Date>;
}

export interface RunsTable {
  id: string;
  organisation: string;
  project: string;
  agent: string;
  version: string;
  key: string | null;
  idempotency_key: string | null;
  input_ref: string;
  status: "queued" | "running" | "waiting" | "completed" | "failed" | "stopped";
  next_step: Generated<number>;
  retries: Generated<number>;
  wake_at: Date | null;
  paused_ms: Generated<bigint>;
  owner: number | null;
  fence: Generated<bigint>;
  output_ref: string | null;
  error_code: string | null;
  error_message: string | null;
  created_at: Generated<Date>;
  started_at: Date | null;
  ended_at: Date | null;
  updated_at: Generated<Date>;
}

export interface RunWaitsTable {
  run: string;
  step: number;
  code: string;
  message: string;
  times: Generated<number>;
  waited_ms: Generated<bigint>;
  began_at: Generated<Date>;
  open_since: Date | null;
  until: Date | null;
}

export interface StepsTable {
  run: string;
  number: number;
  kind: "model" | "tool" | "wait" | "verify";
  name: string;
  status: "completed" | "failed";
  input_ref: string | null;
  output_ref: string | null;
  call: string | null;
  effect: string | null;
  error_message: string | null;
  started_at: Date;
  ended_at: Date;
}

export interface EffectsTable {
  key: string;
  organisation: string;
  project: string;
  run: string;
  step: number;
  ordinal: number;
  tool: string;
  arguments_ref: string;
  state: "planned" | "claimed" | "done" | "unknown";
  result_ref: string | null;
  attempts: Generated<number>;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

export interface Tables {
  blobs: BlobsTable;
  organisations: OrganisationsTable;
  projects: ProjectsTable;
  keys: KeysTable;
  deployments: DeploymentsTable;
  engines: EnginesTable;
  secrets: SecretsTable;
  rate_cards: RateCardsTable;
  accounts: AccountsTable;
  journals: JournalsTable;
  entries: EntriesTable;
  alarms: AlarmsTable;
  budgets: BudgetsTable;
  holds: HoldsTable;
  settlements: SettlementsTable;
  outcomes: OutcomesTable;
  attestations: AttestationsTable;
  calls: CallsTable;
  attempts: AttemptsTable;
  agents: AgentsTable;
  agent_versions: AgentVersionsTable;
  runs: RunsTable;
  run_waits: RunWaitsTable;
  steps: StepsTable;
  effects: EffectsTable;
}
