// The gateway and the agents' API in a process of its own, over the engine and the migrated database that it is given, watching its own event
// loop. It has no Restate: runs are stored and never begin, which is enough to measure what a request costs the process that takes it.
//
//   node bench/stallsServer.ts ENGINE_URL DATABASE_URL       (with an IPC channel; see bench/stalls.ts)
import type { Dependencies } from "../src/agents/dependencies.ts";
import { createAgents } from "../src/agents/index.ts";
import { agentRoutes } from "../src/api/index.ts";
import { Secrets } from "../src/governance/index.ts";
import { Database } from "../src/store/index.ts";
import { benchTenant, openGateway, serveBench } from "./benchGateway.ts";

const [engineUrl, databaseUrl] = process.argv.slice(2) as [string, string];
const db = new Database(databaseUrl);
const bench = await openGateway({ db, engineUrls: [engineUrl], logLevel: "silent" });
const { secret } = await benchTenant(bench, { input: 0n, cached: 0n, output: 0n });
const runEvents: Dependencies["events"] = { publish: () => {} };
const nowhere = { socket: "/dev/null/restate" };
const agents = createAgents({
  db,
  session: bench.session,
  gateway: bench.gateway,
  ledger: bench.ledger,
  engines: bench.engines,
  events: runEvents,
  alarms: bench.alarms,
  log: bench.log,
  secrets: new Secrets({ db, key: Buffer.alloc(32, 1) }),
  restate: { ingress: nowhere, admin: nowhere, embedded: true, identityKeys: [] },
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
const { url } = await serveBench(bench, { routes: [agentRoutes(agents.parts)] });
process.send!({ url, key: secret });
