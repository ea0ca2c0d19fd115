// A whole gateway for tests: real Postgres, real ledger and identity, real HTTP, scripted engines behind it.
import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { createOpenAiEngine, EngineRegistry } from "../engines/index.ts";
import { scriptedEngine } from "../engines/testing.ts";
import type { Script, ScriptedEngine } from "../engines/testing.ts";
import { Identity, Limiter, Seal, Secrets } from "../governance/index.ts";
import type { Principal } from "../governance/types.ts";
import { createLedger } from "../ledger/index.ts";
import type { Ledger } from "../ledger/index.ts";
import { Session, type Database } from "../store/index.ts";
import { testDatabase } from "../store/testing.ts";
import { Alarms, createLogger, createMetrics, LiveEvents } from "../telemetry/index.ts";
import type { Metrics } from "../telemetry/index.ts";
import { secretRoutes } from "./routes/secrets.ts";
import type { DeploymentStatus } from "../contract/index.ts";
import type { HouseEvent } from "./resources/live.ts";
import type { ServerDependencies } from "./dependencies.ts";
import { closeServer, createServer } from "./http/server.ts";
import { callRecords } from "../gateway/calls/post.ts";
import { recordProof } from "../gateway/calls/proof.ts";
import type { MediaOptions } from "../gateway/media.ts";
import { ModelRoutes } from "../gateway/modelRoutes.ts";
import { createGateway } from "../gateway/pipeline.ts";
import { KeptAnswers } from "../gateway/sharing/keptAnswers.ts";
import type { Gateway } from "../gateway/types.ts";

/** Nano per million tokens; whole nanos per token: 3 uncached, 1 cached, 7 output. */
export const testPrices = {
  inputNanoPerMillion: 3_000_000n,
  cachedNanoPerMillion: 1_000_000n,
  outputNanoPerMillion: 7_000_000n,
};

export interface TestGateway extends AsyncDisposable {
  address: string;
  key: string;
  principal: Principal;
  db: Database;
  ledger: Ledger;
  gateway: Gateway;
  identity: Identity;
  engines: EngineRegistry;
  engine: ScriptedEngine;
  events: LiveEvents<HouseEvent>;
  metrics: Metrics;
  alarms: Alarms;
  server: Server;
  logged: string[];
  client(options?: { key?: string; maxRetries?: number }): OpenAI;
  /** A request to /api or elsewhere with the owner's key. */
  request(path: string, init?: RequestInit): Promise<{ status: number; headers: Headers; body: any }>;
}

/** Serves the model `scripted` from a scripted engine, priced by `testPrices`. */
export async function testGateway(
  options: {
    media?: MediaOptions;
    script?: Script;
    consoleFolder?: string;
    priced?: boolean;
    db?: Database & AsyncDisposable;
    openMetrics?: boolean;
    /** What /api/status says of deployments. */
    deployments?: DeploymentStatus[];
    /** Routes of rooms above this one, made from its parts. */
    routes?: (
      parts: Omit<ServerDependencies, "status" | "routes"> & { session: Session },
    ) => ServerDependencies["routes"];
  } = {},
): Promise<TestGateway> {
  const db = options.db ?? (await testDatabase());
  const engine = await scriptedEngine(options.script);
  const logged: string[] = [];
  const log = createLogger({ level: "trace", destination: { write: (line) => void logged.push(line) } });
  const identity = new Identity({ db, secret: Buffer.alloc(32, 7) });
  const tenant = await identity.ensureTenant({ organisation: "acme", project: "default", currency: "USD" });
  const organisation = tenant.organisation.id;
  const { secret } = await identity.createKey({
    organisation,
    project: tenant.project.id,
    name: "owner",
    role: "owner",
  });
  const session = await Session.open({ url: db.url });
  const spools = mkdtempSync(join(tmpdir(), "ls-spools-"));
  const ledger = await createLedger({ db, session, spools, machine: "test", records: callRecords, recordProof });
  if (options.priced ?? true)
    await ledger.setRateCard({ organisation, model: "scripted", currency: "USD", ...testPrices });
  const engines = new EngineRegistry();
  engines.add("scripted", createOpenAiEngine({ url: engine.url, model: "scripted" }), {
    kind: "openai",
    model: "scripted",
  });
  const events = new LiveEvents<HouseEvent>();
  const metrics = createMetrics({ process: false });
  const alarms = new Alarms({ log, metrics });
  const limiter = await Limiter.open({ db, session });
  const modelRoutes = new ModelRoutes();
  const kept = new KeptAnswers({ db, seal: new Seal(Buffer.alloc(32, 7)), log });
  const gateway = createGateway({
    routes: modelRoutes,
    kept,
    limiter,
    media: options.media,
    ledger,
    keys: identity,
    engines,
    events,
    metrics,
    alarms,
    log,
  });
  const seal = new Seal(Buffer.alloc(32, 7));
  const routesChanged = () => modelRoutes.read(db);
  const parts = { routesChanged, gateway, identity, ledger, limiter, engines, db, seal, events, metrics, alarms, log };
  const routes = options.routes?.({ ...parts, session });
  const server = createServer({
    ...parts,
    routes: [secretRoutes({ secrets: new Secrets({ db, key: Buffer.alloc(32, 7) }), identity }), ...(routes ?? [])],
    status: async () => ({
      version: "test",
      address: "",
      started_at: new Date(0).toISOString(),
      healthy: true,
      troubles: [],
      components: [],
      deployments: options.deployments ?? [],
      memory: { total_rss_bytes: 1 },
      storage: { state: "ok" as const, free_bytes: 1_000_000_000 },
    }),
    openMetrics: options.openMetrics ?? true,
    ...(options.consoleFolder !== undefined && { consoleFolder: options.consoleFolder }),
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const principal = (await identity.authenticate(secret))!;
  return {
    address,
    key: secret,
    principal,
    db,
    ledger,
    gateway,
    identity,
    engines,
    engine,
    events,
    metrics,
    alarms,
    server,
    logged,
    client: ({ key: other, maxRetries = 0 } = {}) =>
      new OpenAI({ baseURL: `${address}/v1`, apiKey: other ?? secret, maxRetries }),
    async request(path, init = {}) {
      const response = await fetch(address + path, {
        ...init,
        headers: { authorization: `Bearer ${secret}`, "content-type": "application/json", ...(init.headers as object) },
      });
      const text = await response.text();
      const json = response.headers.get("content-type")?.includes("json") ? (JSON.parse(text) as unknown) : text;
      return { status: response.status, headers: response.headers, body: json };
    },
    async [Symbol.asyncDispose]() {
      await closeServer(server, gateway, 0);
      await engines.close();
      await engine[Symbol.asyncDispose]();
      await ledger.close();
      rmSync(spools, { recursive: true, force: true });
      kept.close();
      await limiter.close();
      await session.close();
      await db[Symbol.asyncDispose]();
    },
  };
}

/** The smallest call. */
export const hello = { model: "scripted", messages: [{ role: "user" as const, content: "hi" }] };

/** What the database has of calls and their money, when all that has ended is written. */
export async function rows(at: TestGateway) {
  await at.gateway.flushed();
  const calls = await at.db.query<Record<string, any>>("select * from calls order by id");
  const attempts = await at.db.query<Record<string, any>>("select * from attempts order by call, number");
  const settlements = await at.db.query<Record<string, any>>("select * from settlements order by created_at, attempt");
  return { calls: calls.rows, attempts: attempts.rows, settlements: settlements.rows };
}
