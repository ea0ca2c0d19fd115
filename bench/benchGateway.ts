// The gateway of a bench as a user runs it (keys, budgets, limits, holds, settlements, records, metrics, live events), over an engine, a
// migrated database and a folder of spools. Each bench says what it serves beside that.
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeServer, createServer, type HouseEvent } from "../src/api/index.ts";
import { createEngine, EngineRegistry, type AddedKind } from "../src/engines/index.ts";
import { callRecords, createGateway } from "../src/gateway/index.ts";
import { Identity, Limiter, Seal } from "../src/governance/index.ts";
import { createLedger } from "../src/ledger/index.ts";
import { Session, type Database } from "../src/store/index.ts";
import { Alarms, createLogger, createMetrics, LiveEvents } from "../src/telemetry/index.ts";

const secret = Buffer.alloc(32, 1);

/** Models of the scripted engine by the API that it is asked by. */
const benchModels: Readonly<Record<string, AddedKind>> = {
  scripted: "openai",
  "scripted-messages": "anthropic",
  "scripted-responses": "responses",
};

interface Given {
  db: Database;
  /** Addresses of the scripted engine. */
  engineUrls: readonly string[];
  /** A new folder where absent. */
  spools?: string;
  machine?: string;
  /** What the process logs; what an instance logs where absent. */
  logLevel?: string;
  /** Calls that the engine answers at once, where it does not say so itself. */
  slots?: number;
}

export type BenchGateway = Awaited<ReturnType<typeof openGateway>>;

/** Opens everything that a call needs. Rejects where the database or the engine does not answer. */
export async function openGateway({ db, engineUrls, machine = "bench", logLevel, slots, ...given }: Given) {
  const log = createLogger(logLevel === undefined ? {} : { level: logLevel });
  const metrics = createMetrics();
  const alarms = new Alarms({ log, metrics });
  const identity = new Identity({ db, secret });
  const session = await Session.open({ url: db.url });
  const spools = given.spools ?? mkdtempSync(join(tmpdir(), "lineshaft-spools-"));
  const ledger = await createLedger({ db, session, spools, machine, records: callRecords });
  const limiter = await Limiter.open({ db, session });
  const engines = new EngineRegistry();
  for (const [place, engineUrl] of engineUrls.entries())
    for (const [name, kind] of Object.entries(benchModels)) {
      const engine = createEngine(kind, { url: `${engineUrl}/v1`, model: "scripted" });
      const facts = { ...(await engine.probe()), ...(slots !== undefined && { slots }) };
      engines.add(name, engine, { kind, model: "scripted", facts, endpoint: `${name}${place}` });
    }
  const events = new LiveEvents<HouseEvent>();
  const gateway = createGateway({ ledger, keys: identity, engines, limiter, events, metrics, alarms, log });
  return { db, session, identity, ledger, limiter, engines, events, gateway, metrics, alarms, log };
}

/** A tenant with an owner's key and one price in nano-units per million tokens for each kind of token. */
export async function benchTenant(
  { identity, ledger }: BenchGateway,
  prices: { input: bigint; cached: bigint; output: bigint },
) {
  const tenant = await identity.ensureTenant({ organisation: "bench", project: "default", currency: "USD" });
  const organisation = tenant.organisation.id;
  const project = tenant.project.id;
  const { key, secret } = await identity.createKey({ organisation, project, name: "bench", role: "owner" });
  for (const model of Object.keys(benchModels))
    await ledger.setRateCard({
      organisation,
      model,
      currency: "USD",
      inputNanoPerMillion: prices.input,
      cachedNanoPerMillion: prices.cached,
      outputNanoPerMillion: prices.output,
    });
  return { organisation, project, key, secret };
}

type Served = Partial<Pick<Parameters<typeof createServer>[0], "gateway" | "routes">>;

/** Serves the API at a free port of this machine. `more`: another gateway, further routes. */
export async function serveBench(bench: BenchGateway, more: Served = {}): Promise<{ server: Server; url: string }> {
  const { db, identity, ledger, limiter, engines, events, gateway, metrics, alarms, log } = bench;
  const server = createServer({
    gateway,
    identity,
    ledger,
    limiter,
    engines,
    db,
    seal: new Seal(secret),
    events,
    metrics,
    alarms,
    log,
    routesChanged: () => Promise.resolve(),
    status: () => Promise.reject(new Error("not measured here")),
    ...more,
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Settles and ends the process when its input closes. */
export function stopAtEndOfInput(server: Server, { gateway, ledger, limiter, session, db }: BenchGateway): void {
  process.stdin.resume().once("end", async () => {
    await closeServer(server, gateway, 0);
    await ledger.close();
    await limiter.close();
    await session.close();
    await db.close();
    process.exit(0);
  });
}
