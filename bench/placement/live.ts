// The system that is measured: two worker processes behind the real gateway with its Postgres, in this process. It is made anew for
// every run, so that no run finds what another has cached or learnt.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createEmbeddedEngine } from "../../src/engines/embedded/adapter.ts";
import type { EndpointRole } from "../../src/engines/index.ts";
import { startTestWorker, type TestWorker } from "../../src/engines/embedded/testing.ts";
import type { WorkerStatus } from "../../src/engines/embedded/protocol.ts";
import { testGateway, testPrices, type TestGateway } from "../../src/api/testing.ts";

/** Where parked states lie: in one folder that both workers read, in one of each worker's own, or nowhere. */
export type Pool = "shared" | "own" | "none";

export interface Setup {
  /** As it is called in the table and on the command line. */
  name: string;
  policy: string;
  pool: Pool;
  roles: [EndpointRole, EndpointRole];
}

export interface WorkerSize {
  slots: number;
  contextTokens: number;
}

/** Bytes that states may take on disk, per folder: more than any run writes. */
export const diskBytes = 2 * 1024 ** 3;
export const model = "agents";

export interface Live extends AsyncDisposable {
  at: TestGateway;
  workers: TestWorker[];
  status(): Promise<WorkerStatus[]>;
}

/**
 * `least-delay`, `round-robin@own` (pool after the @, `shared` unless given), `pd` or `pd:lmetric` (prefill and decode apart,
 * under the default policy unless one is named).
 */
export function parseSetup(name: string, usual: string): Setup {
  const [rule, pool = "shared"] = name.split("@") as [string, string?];
  if (pool !== "shared" && pool !== "own" && pool !== "none")
    throw new Error(`"${name}": the pool after @ is shared, own or none`);
  const split = /^pd(?::(.+))?$/.exec(rule);
  if (split && pool !== "shared") throw new Error(`"${name}": prefill and decode apart need a shared pool`);
  return {
    name,
    policy: split ? (split[1] ?? usual) : rule,
    pool,
    roles: split ? ["prefill", "decode"] : ["both", "both"],
  };
}

export async function startLive({ policy, pool, roles }: Setup, size: WorkerSize): Promise<Live> {
  const folder = mkdtempSync(path.join(tmpdir(), "lineshaft-placement-"));
  const at = await testGateway();
  const workers = await Promise.all(
    roles.map((_, i) =>
      startTestWorker({
        ...size,
        kvDir: path.join(folder, pool === "shared" ? "kv" : `kv-${i}`),
        kvBudgetBytes: pool === "none" ? 0 : diskBytes,
      }),
    ),
  );
  await at.ledger.setRateCard({ organisation: at.principal.organisation, model, currency: "USD", ...testPrices });
  at.engines.configure(model, { placement: policy });
  for (const [i, worker] of workers.entries()) {
    const engine = createEmbeddedEngine({ url: worker.url, token: tokenOf(worker) });
    const facts = await engine.probe();
    at.engines.add(model, engine, {
      kind: "embedded",
      model: "small",
      endpoint: `worker-${i}`,
      role: roles[i]!,
      node: "here",
      facts,
    });
  }
  return {
    at,
    workers,
    status: () => Promise.all(workers.map((worker) => worker.status())),
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]();
      await Promise.all(workers.map((worker) => worker.stop()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export const tokenOf = (worker: TestWorker): string => worker.headers["authorization"]!.slice("Bearer ".length);
