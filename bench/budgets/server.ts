// One gateway process of the bench, as a user runs it (keys, budgets, holds, settlements, records, metrics), over the engine, the database
// and the spool folder that it is given. Calls of the bench name their agent and run as `AGENT/RUN` in x-lineshaft-program, because
// clients of /v1 cannot act for a run. It prints its address as a JSON line, and stops in order when its input closes.
//
//   node bench/budgets/server.ts ENGINE_URL DATABASE_URL SPOOL_FOLDER MACHINE
import type { CallRequest } from "../../src/gateway/index.ts";
import { Database } from "../../src/store/index.ts";
import { openGateway, serveBench, stopAtEndOfInput } from "../benchGateway.ts";

const [engineUrl, databaseUrl, spools, machine] = process.argv.slice(2) as [string, string, string, string];
const db = new Database(databaseUrl);
const bench = await openGateway({
  db,
  engineUrls: [engineUrl],
  spools,
  machine,
  logLevel: process.env["BENCH_LOG"] ?? "silent",
});
const attributed = (request: CallRequest): CallRequest => {
  const [agent, run] = request.program?.split("/") ?? [];
  return agent !== undefined && run !== undefined ? { ...request, agent, run } : request;
};
const { server, url } = await serveBench(bench, {
  gateway: { ...bench.gateway, call: (request) => bench.gateway.call(attributed(request)) },
});
process.stdout.write(`${JSON.stringify({ url })}\n`);
stopAtEndOfInput(server, bench);
