// How long an interactive call takes while runs are queued: `npm run bench:pacing [-- --runs 2000]`. An instance in one process (Postgres,
// Restate, gateway, agents) over a scripted engine of 8 slots that answers in 200 ms; interactive calls come one after the other,
// alone and then with the runs queued behind. Prints medians and 95th percentiles, and how fast the runs went.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import { createAgents } from "../src/agents/index.ts";
import { startRestate } from "../src/agents/testing.ts";
import { agentRoutes } from "../src/api/index.ts";
import { Secrets } from "../src/governance/index.ts";
import { testDatabase } from "../src/store/testing.ts";
import startPostgres from "../test/setup/postgres.ts";
import { benchTenant, openGateway, serveBench } from "./benchGateway.ts";

const { values } = parseArgs({
  options: { runs: { type: "string", default: "2000" }, calls: { type: "string", default: "40" } },
});
const runs = Number(values.runs);
const calls = Number(values.calls);
const slots = 8;
const answerMs = 200;

const stopPostgres = await startPostgres();
const db = await testDatabase();
const restate = await startRestate();

/** Serves `slots` calls at once, the others in the order in which they came. */
let busy = 0;
const waiting: (() => void)[] = [];
const engineServer = createServer((request, response) => {
  request.resume();
  if (request.url!.endsWith("/models"))
    return void response.end(JSON.stringify({ data: [{ id: "scripted", object: "model" }] }));
  const serve = () => {
    busy++;
    setTimeout(() => {
      busy--;
      waiting.shift()?.();
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({
          id: "1",
          object: "chat.completion",
          created: 1,
          model: "scripted",
          choices: [{ index: 0, message: { role: "assistant", content: "Yes." }, finish_reason: "stop" }],
          usage: { prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 },
        }),
      );
    }, answerMs);
  };
  if (busy < slots) serve();
  else waiting.push(serve);
});
await new Promise<void>((resolve) => engineServer.listen(0, "127.0.0.1", resolve));

const engineUrl = `http://127.0.0.1:${(engineServer.address() as AddressInfo).port}`;
const bench = await openGateway({ db, engineUrls: [engineUrl], slots, logLevel: "silent" });
const { secret } = await benchTenant(bench, { input: 1000n, cached: 1000n, output: 1000n });
const agents = createAgents({
  db,
  session: bench.session,
  gateway: bench.gateway,
  ledger: bench.ledger,
  engines: bench.engines,
  alarms: bench.alarms,
  log: bench.log,
  events: { publish: (of, event) => bench.events.publish(of as never, event as never) },
  secrets: new Secrets({ db, key: Buffer.alloc(32, 1) }),
  restate: {
    ingress: { socket: restate.command.ingressSocket },
    admin: { socket: restate.command.adminSocket },
    embedded: true,
    identityKeys: [restate.command.identityKey],
  },
});
await agents.start();
const { url: address } = await serveBench(bench, { routes: [agentRoutes(agents.parts)] });
const headers = { authorization: `Bearer ${secret}`, "content-type": "application/json" };

async function post(path: string, body: unknown): Promise<{ status: number; body: any }> {
  const response = await fetch(address + path, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

/** Latencies of calls one after the other, in milliseconds, ascending. */
async function latencies(): Promise<number[]> {
  const times: number[] = [];
  for (let call = 0; call < calls; call++) {
    const began = performance.now();
    const { status } = await post("/v1/chat/completions", {
      model: "scripted",
      max_tokens: 8,
      messages: [{ role: "user", content: "hi" }],
    });
    if (status !== 200) throw new Error(`a call was answered ${status}`);
    times.push(performance.now() - began);
  }
  return times.toSorted((a, b) => a - b);
}

async function ended(): Promise<number> {
  const { rows } = await db.query<{ count: bigint }>("select count(*) from runs where status = 'completed'");
  return Number(rows[0]!.count);
}

const at = (times: number[], share: number) => `${times[Math.floor(share * (times.length - 1))]!.toFixed(0)} ms`;

const published = await post("/api/agents", {
  manifest: { kind: "Agent", name: "batch", model: "scripted", instructions: "Be brief.", tools: [] },
  files: {},
});
if (published.status !== 200) throw new Error(JSON.stringify(published.body));
await latencies();
const alone = await latencies();
const first = await post("/api/runs", { agent: "batch", input: "Say yes." });
if (first.status >= 300) throw new Error(JSON.stringify(first.body));
// All runs are created at once, as after a nightly import. The cost of creating them is not measured here.
await db.query(
  `insert into runs (id, organisation, project, agent, version, key, input_ref, status)
   select id || lpad(n::text, 5, '0'), organisation, project, agent, version, key, input_ref, 'queued'
   from runs cross join generate_series(1, $1::int) n where id = $2`,
  [runs, first.body.id],
);
const sent = agents.rebuild();
sent.catch(() => {});
while ((await ended()) < 10) await new Promise((resolve) => setTimeout(resolve, 50));
const before = await ended();
const began = performance.now();
const crowded = await latencies();
const seconds = (performance.now() - began) / 1000;
const done = (await ended()) - before;
console.table({
  alone: { median: at(alone, 0.5), p95: at(alone, 0.95) },
  [`${runs} runs queued`]: { median: at(crowded, 0.5), p95: at(crowded, 0.95) },
});
console.log(
  `${before} of ${runs} runs had ended when the second series began, ${done} ended in its ${seconds.toFixed(1)} s: ${(done / seconds).toFixed(0)} runs a second.`,
);
const { queued, placed } = bench.gateway.scheduler();
console.log(`At its end ${placed} calls were placed and ${queued} waited.`);
await restate.kill();
await stopPostgres();
process.exit(0);
