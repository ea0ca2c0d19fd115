// The fixture's three agents with their manifests and versions, and the counts of their runs.
import type { AgentDetail, Run } from "../../contract/index.ts";
import type { Random } from "./random.ts";
import { day, embedded, remote, idOf, iso } from "./fixtureWords.ts";

export function agentsAt(random: Random, now: number): AgentDetail[] {
  const agent = (
    name: string,
    model: string,
    versions: number,
    age: number,
    manifest: Record<string, unknown>,
  ): AgentDetail => ({
    id: `agent_${idOf(random, "run", now - age).slice(4)}`,
    name,
    version: versions,
    model,
    created_at: iso(now - age),
    runs: { total: 0, running: 0, waiting: 0, failed: 0 },
    outcomes: { passed: 0, failed: 0 },
    manifest: { kind: "Agent", name, model, ...manifest },
    versions: Array.from({ length: versions }, (_, index) => ({
      number: versions - index,
      id: idOf(random, "agv", now - age + (versions - 1 - index) * 3 * day),
      created_at: iso(now - age + (versions - 1 - index) * 3 * day),
    })),
  });
  const tools = (url: string, effects: string[]) => [{ mcp: { name: "plant", url }, effects }];
  return [
    agent("maintenance-inspector", embedded, 4, 29 * day, {
      instructions:
        "You inspect milling machines. Read the machine, decide which failure mode its readings show, then open a work order with the failure mode and the reason.",
      tools: tools("http://127.0.0.1:4180/mcp", ["open_work_order"]),
      limits: { steps: 8, tokens: 20_000, money: "0.01 USD", time: "2m" },
      examples: [{ input: "exceeded: [tool_wear]", output: { failure_mode: "tool_wear" } }],
      outcome: { contract: "failure-mode-named", verifier: "ai4i-physics", price: "0.05 USD" },
    }),
    agent("invoice-reader", remote, 2, 17 * day, {
      instructions:
        "You read supplier invoices and enter them into the books. Amounts must add up; when they do not, say so instead of entering.",
      tools: tools("http://127.0.0.1:4190/mcp", ["enter_invoice"]),
      limits: { steps: 12, tokens: 60_000, money: "0.10 USD", time: "5m" },
      outcome: { contract: "invoice-entered", verifier: "sums-agree", price: "0.05 USD" },
    }),
    agent("ticket-triage", embedded, 1, 6 * day, {
      instructions: "You sort incoming tickets into queues.",
      tools: [],
      limits: { steps: 4, tokens: 8_000, money: "0.005 USD", time: "30s" },
      outcome: { contract: "queue-agreed", verifier: "desk-review", price: "0.05 USD" },
    }),
  ];
}

/** Writes the counts of an agent's runs and outcomes into it. */
export function countRuns(agent: AgentDetail, runs: Run[]): void {
  const own = runs.filter((run) => run.agent === agent.name);
  const count = (status: Run["status"]) => own.filter((run) => run.status === status).length;
  agent.runs = {
    total: own.length,
    running: count("running") + count("queued"),
    waiting: count("waiting"),
    failed: count("failed"),
  };
  agent.outcomes = {
    passed: own.filter((run) => run.outcome?.verdict === "passed").length,
    failed: own.filter((run) => run.outcome?.verdict === "failed").length,
  };
}
