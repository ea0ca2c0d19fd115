// One gateway process of the bench, as a user runs it (keys, budgets, holds, settlements, records, metrics), over the engine, the database
// and the spool folder that it is given. Calls of the bench name their agent and run as `AGENT/RUN` in x-lineshaft-program, because
// clients of /v1 cannot act for a run. It prints its address as a JSON line, and stops in order when its input closes.
//
//   node bench/budgets/server.ts ENGINE_URL DATABASE_URL SPOOL_FOLDER MACHINE
import type { AddressInfo } from "node:net";
import { closeServer, createServer, type HouseEvent } from "../../src/api/index.ts";
import { createOpenAiEngine, EngineRegistry } from "../../src/engines/index.ts";
import { callRecords, createGateway, type CallRequest } from "../../src/gateway/index.ts";
import { Identity, Seal } from "../../src/governance/index.ts";
import { createLedger } from "../../src/ledger/index.ts";
import { Database, Session } from "../../src/store/index.ts";
import { Alarms, createLogger, createMetrics, LiveEvents } from "../../src/telemetry/index.ts";

const [engineUrl, databaseUrl, spools, machine] = process.argv.slice(2);
const db = new Database(databaseUrl!);
const identity = new Identity({ db, secret: Buffer.alloc(32, 1) });
const session = await Session.open({ url: db.url });
const log = createLogger({ level: process.env["BENCH_LOG"] ?? "silent" });
const metrics = createMetrics();
const alarms = new Alarms({ log, metrics });
const ledger = await createLedger({ db, session, spools: spools!, machine: machine!, records: callRecords });
const engines = new EngineRegistry();
const engine = createOpenAiEngine({ url: `${engineUrl}/v1`, model: "scripted" });
engines.add("scripted", engine, { kind: "openai", model: "scripted", facts: await engine.probe() });
const events = new LiveEvents<HouseEvent>();
const gateway = createGateway({ ledger, keys: identity, engines, events, metrics, alarms, log });
const attributed = (request: CallRequest): CallRequest => {
  const [agent, run] = request.program?.split("/") ?? [];
  return agent !== undefined && run !== undefined ? { ...request, agent, run } : request;
};
const server = createServer({
  gateway: { ...gateway, call: (request) => gateway.call(attributed(request)) },
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
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});
process.stdin.resume().once("end", async () => {
  await closeServer(server, gateway, 0);
  await ledger.close();
  await session.close();
  await db.close();
  process.exit(0);
});
