// The gateway and the agents' API in a process of its own, over the engine and the migrated database that it is given, watching its own event
// loop. It has no Restate: runs are stored and never begin, which is enough to measure what a request costs the process that takes it.
//
//   node bench/stallsServer.ts ENGINE_URL DATABASE_URL       (with an IPC channel; see bench/stalls.ts)
import { mkdtempSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAgents } from "../src/agents/index.ts";
import type { Dependencies } from "../src/agents/dependencies.ts";
import { createOpenAiEngine, EngineRegistry } from "../src/engines/index.ts";
import { agentRoutes, createServer } from "../src/api/index.ts";
import { callRecords, createGateway } from "../src/gateway/index.ts";
import type { HouseEvent } from "../src/api/index.ts";
import { Identity, Seal, Secrets } from "../src/governance/index.ts";
import { createLedger } from "../src/ledger/index.ts";
import { Database, Session } from "../src/store/index.ts";
import { Alarms, createLogger, createMetrics, LiveEvents } from "../src/telemetry/index.ts";

const [engineUrl, databaseUrl] = process.argv.slice(2);
const db = new Database(databaseUrl!);
const identity = new Identity({ db, secret: Buffer.alloc(32, 1) });
const tenant = await identity.ensureTenant({ organisation: "bench", project: "default", currency: "USD" });
const organisation = tenant.organisation.id;
const { secret } = await identity.createKey({
  organisation,
  project: tenant.project.id,
  name: "bench",
  role: "owner",
});
const session = await Session.open({ url: db.url });
const spools = mkdtempSync(join(tmpdir(), "lineshaft-spools-"));
const ledger = await createLedger({ db, session, spools, machine: "bench", records: callRecords });
await ledger.setRateCard({
  organisation,
  model: "scripted",
  currency: "USD",
  inputNanoPerMillion: 0n,
  cachedNanoPerMillion: 0n,
  outputNanoPerMillion: 0n,
});
const engines = new EngineRegistry();
const engine = createOpenAiEngine({ url: `${engineUrl}/v1`, model: "scripted" });
engines.add("scripted", engine, { kind: "openai", model: "scripted", facts: await engine.probe() });
const log = createLogger({ level: "silent" });
const metrics = createMetrics();
const alarms = new Alarms({ log, metrics });
const events = new LiveEvents<HouseEvent>();
const gateway = createGateway({ ledger, keys: identity, engines, events, metrics, alarms, log });
const runEvents: Dependencies["events"] = { publish: () => {} };
const nowhere = { socket: "/dev/null/restate" };
const agents = createAgents({
  db,
  session,
  gateway,
  ledger,
  engines,
  events: runEvents,
  alarms,
  log,
  secrets: new Secrets({ db, key: Buffer.alloc(32, 1) }),
  restate: { ingress: nowhere, admin: nowhere, embedded: true, identityKeys: [] },
});
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
  routes: [agentRoutes(agents.parts)],
});

/** The longest turn of the event loop since the last question: by the clock, and in CPU time of this thread alone. */
let longest = { wallMs: 0, cpuMs: 0 };
const cpuMs = () => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};
let last = { wall: performance.now(), cpu: cpuMs() };
setInterval(() => {
  const now = { wall: performance.now(), cpu: cpuMs() };
  longest = {
    wallMs: Math.max(longest.wallMs, now.wall - last.wall),
    cpuMs: Math.max(longest.cpuMs, now.cpu - last.cpu),
  };
  last = now;
}, 1);
process.on("message", () => {
  process.send!({ ...longest, rssMb: Math.round(process.memoryUsage.rss() / 2 ** 20) });
  longest = { wallMs: 0, cpuMs: 0 };
});
process.once("disconnect", () => process.exit(0));
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.send!({ url: `http://127.0.0.1:${port}`, key: secret });
});
