// The gateway as a user runs it (keys, budgets, holds, settlements, records, metrics, live events), over the engine and the
// database it is given, in a process of its own.
//
//   node bench/gatewayServer.ts ENGINE_URL DATABASE_URL
import { mkdtempSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createOpenAiEngine, EngineRegistry } from "../src/engines/index.ts";
import { closeServer, createServer } from "../src/api/index.ts";
import { callRecords, createGateway } from "../src/gateway/index.ts";
import type { HouseEvent } from "../src/api/index.ts";
import { Identity, Seal } from "../src/governance/index.ts";
import { createLedger } from "../src/ledger/index.ts";
import { Database, Session } from "../src/store/index.ts";
import { Alarms, createLogger, createMetrics, LiveEvents } from "../src/telemetry/index.ts";

const [engineUrl, databaseUrl] = process.argv.slice(2);
const db = new Database(databaseUrl!);
const identity = new Identity({ db, secret: Buffer.alloc(32, 1) });
const tenant = await identity.ensureTenant({ organisation: "bench", project: "default", currency: "USD" });
const organisation = tenant.organisation.id;
const project = tenant.project.id;
const { key, secret } = await identity.createKey({ organisation, project, name: "bench", role: "owner" });
const session = await Session.open({ url: db.url });
const spools = mkdtempSync(join(tmpdir(), "lineshaft-spools-"));
const ledger = await createLedger({ db, session, spools, machine: "bench", records: callRecords });
await ledger.setRateCard({
  organisation,
  model: "scripted",
  currency: "USD",
  inputNanoPerMillion: 500_000_000n,
  cachedNanoPerMillion: 50_000_000n,
  outputNanoPerMillion: 1_500_000_000n,
});
for (const scope of [{ kind: "project", id: project } as const, { kind: "key", id: key.id } as const])
  await ledger.setBudget({ organisation, currency: "USD", scope, limitNano: 10n ** 17n, period: "total" });
const engines = new EngineRegistry();
const engine = createOpenAiEngine({ url: `${engineUrl}/v1`, model: "scripted" });
engines.add("scripted", engine, { kind: "openai", model: "scripted", facts: await engine.probe() });
const log = createLogger();
const metrics = createMetrics();
const alarms = new Alarms({ log, metrics });
const events = new LiveEvents<HouseEvent>();
const gateway = createGateway({ ledger, keys: identity, engines, events, metrics, alarms, log });
const server = createServer({
  gateway,
  identity,
  ledger,
  engines,
  db,
  seal: new Seal(Buffer.alloc(32, 1)),
  events,
  metrics,
  alarms,
  log,
  status: () => Promise.reject(new Error("not measured here")),
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}`, key: secret })}\n`);
});
process.stdin.resume().once("end", async () => {
  await closeServer(server, gateway, 0);
  await ledger.close();
  await session.close();
  await db.close();
  process.exit(0);
});
