// What every figure of the console means: its name, one or two sentences, the formula, and the request of the API that answers it. They
// stand here only, so that two people who compare a figure mean the same thing.

interface Definition {
  name: string;
  meaning: string;
  /** How it is computed, in the words of the API's fields. */
  formula: string;
  /** The request that answers it. */
  query: string;
}

const overview = "GET /api/overview?range=RANGE";
const bill = "GET /api/bill?from=TIME&to=TIME";

export const definitions = {
  tokens: {
    name: "Tokens",
    meaning: "Everything that models read and wrote: prompt tokens, computed or taken from cache, and output tokens.",
    formula: "tokens.uncached + tokens.cached + tokens.output",
    query: overview,
  },
  calls: {
    name: "Calls",
    meaning:
      "Logical model requests that ended in the period: completed, failed, cancelled by the client, or refused before a request to an engine.",
    formula: "calls.total",
    query: overview,
  },
  cached_share: {
    name: "Cached share",
    meaning:
      "Part of all prompt tokens whose KV state was found in a cache (device, host, disk or remote tier) and not computed again.",
    formula: "tokens.cached ÷ (tokens.cached + tokens.uncached)",
    query: overview,
  },
  first_token: {
    name: "Time to first token",
    meaning:
      "From the arrival of a call to its first output token, as percentiles over the calls that have one. Waiting in a queue is included. A call that is not streamed counts if its engine reports when its first token was made.",
    formula: "p50, p90, p99 of first_token_ms",
    query: overview,
  },
  runs: {
    name: "Runs",
    meaning:
      "Pieces of work that agents began in the period. Alive means running now or waiting for something: a tool, a timer, a person.",
    formula: "runs.running + runs.waiting, and those that ended",
    query: overview,
  },
  pass_rate: {
    name: "Pass rate",
    meaning:
      "Part of all judged outcomes that their verifier passed. A run without an outcome contract is not judged and does not count.",
    formula: "outcomes.passed ÷ (outcomes.passed + outcomes.failed)",
    query: overview,
  },
  revenue: {
    name: "Revenue",
    meaning: "What verified outcomes were sold for, at the price of their contract. A failed outcome brings nothing.",
    formula: "Σ price of outcomes with verdict passed",
    query: bill,
  },
  token_cost: {
    name: "Cost of tokens",
    meaning:
      "Cost of all attempts of all calls, by the rate card in force when each was admitted. Failed and cancelled attempts count with the tokens that they used.",
    formula: "Σ settlements: uncached × input price + cached × cached price + output × output price",
    query: bill,
  },
  margin: {
    name: "Margin",
    meaning: "Revenue less the cost of tokens. Costs of chips, people and rent are not included.",
    formula: "revenue − cost of tokens",
    query: bill,
  },
  cost_per_outcome: {
    name: "Cost per verified outcome",
    meaning:
      "What the runs of agents with judged outcomes spent on tokens, failed runs included, divided by the outcomes that passed. Calls outside runs and agents whose outcomes are not judged do not count.",
    formula: "cost of tokens of agents with judged outcomes ÷ outcomes passed",
    query: bill,
  },
  outcomes_per_million: {
    name: "Verified outcomes per million tokens",
    meaning:
      "Verified outcomes for each million tokens, cached prompt tokens and output included, over the agents whose outcomes are judged.",
    formula: "outcomes passed × 1,000,000 ÷ tokens of agents with judged outcomes",
    query: bill,
  },
  batch_served: {
    name: "Served",
    meaning:
      "Lines of the file whose call was answered, of all lines. The number of all is known once the file has been read.",
    formula: "completed of total",
    query: "GET /api/batches/:id",
  },
  batch_price: {
    name: "Price",
    meaning:
      "Settled price of all calls of the batch until now, by the batch prices of their models where they have some.",
    formula: "Σ price of the batch's calls",
    query: "GET /api/batches/:id",
  },
  price: {
    name: "Price",
    meaning:
      "The settled price of the call: every attempt once, by the tokens that it used and the rate card at its admission.",
    formula: "uncached × input + cached × cached + output × output price, per million tokens",
    query: "GET /api/calls/:id",
  },
  call_duration: {
    name: "Duration",
    meaning: "From the arrival of the call to its settlement.",
    formula: "duration_ms",
    query: "GET /api/calls/:id",
  },
  call_first_token: {
    name: "First token",
    meaning:
      "From the arrival of the call to its first output token, time in the queue included. For a call that is not streamed the engine reports it. A call that failed or was refused has none.",
    formula: "first_token_ms",
    query: "GET /api/calls/:id",
  },
  run_cost: {
    name: "Cost",
    meaning: "Settled price of all calls of the run, with all their attempts.",
    formula: "Σ price of the run's calls",
    query: "GET /api/runs/:id",
  },
  run_steps: {
    name: "Steps",
    meaning:
      "What the run did so far: model calls, tool calls, waits and the verifier's judgement. Each step happens once, also when the machine failed in between.",
    formula: "number of step_list",
    query: "GET /api/runs/:id",
  },
  run_duration: {
    name: "Duration",
    meaning:
      "From the start of the first step to the end of the run, or to now while it has not ended. Waiting counts.",
    formula: "ended_at − started_at",
    query: "GET /api/runs/:id",
  },
  kv_memory: {
    name: "KV memory",
    meaning: "Memory for the KV state of all sequences of the engine. It is reserved when the worker starts.",
    formula: "deployments[].endpoints[].memory.kv_bytes",
    query: "GET /api/status",
  },
  disk_tier: {
    name: "Disk tier",
    meaning:
      "KV state of idle sequences in files, from which a conversation continues without a new prefill. The oldest files are removed when the budget is full.",
    formula: "deployments[].disk.used_bytes of budget_bytes",
    query: "GET /api/status",
  },
  sequences: {
    name: "Sequences",
    meaning:
      "Contiguous KV states inside the worker. Running: it serves a call. Idle: it is kept for the next turn of its program. Free: it is empty.",
    formula: "deployments[].endpoints[].sequences",
    query: "GET /api/status",
  },
  resident: {
    name: "Resident memory",
    meaning: "Physical memory of the whole process tree: Lineshaft, its database, the agents' engine and the workers.",
    formula: "memory.total_rss_bytes",
    query: "GET /api/status",
  },
  clients_fit: {
    name: "Coding agents",
    meaning:
      "Whether the longest context of the model's endpoints holds what a coding agent sends before any work: its instructions, its tools and room for an answer. Measured with the agents themselves.",
    formula: "deployments[].clients: fits where needs_tokens ≤ context_tokens",
    query: "GET /api/status",
  },
  budget_left: {
    name: "Left",
    meaning:
      "What can still be leased: the limit less what was spent, what gateway processes have leased, and what was lost with processes that died.",
    formula: "limit_nano − spent_nano − leased_nano − lost_nano",
    query: "GET /api/budgets",
  },
  budget_leased: {
    name: "Leased",
    meaning:
      "Taken by gateway processes, which admit calls against it in memory: free, held by running calls, or settled and not posted yet.",
    formula: "leased_nano",
    query: "GET /api/budgets",
  },
  budget_lost: {
    name: "Lost",
    meaning:
      "Leases of processes that died without saying what they spent. They count as spent, and stand in suspense by name until that is known.",
    formula: "lost_nano",
    query: "GET /api/budgets",
  },
  limit_used: {
    name: "Now",
    meaning:
      "What counts against the limit: the calls and bytes under way, or what was used within the last 60 seconds or 24 hours. An output's tokens count as they come. What other gateway processes used is up to five seconds old.",
    formula: "used",
    query: "GET /api/limits",
  },
} satisfies Record<string, Definition>;

export type Figures = keyof typeof definitions;
