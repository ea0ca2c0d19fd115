// The gateway in a process of its own, over the database and the engine's addresses that it is given (with commas between them), with a
// project's and a key's budget that are never used up. It prints its address and a key as a JSON line, and stops in order when its input closes.
//
//   node bench/gatewayServer.ts ENGINE_URLS DATABASE_URL
import { Database } from "../src/store/index.ts";
import { benchTenant, openGateway, serveBench, stopAtEndOfInput } from "./benchGateway.ts";

const [engineUrls, databaseUrl] = process.argv.slice(2) as [string, string];
const bench = await openGateway({ db: new Database(databaseUrl), engineUrls: engineUrls.split(",") });
const { organisation, project, key, secret } = await benchTenant(bench, {
  input: 500_000_000n,
  cached: 50_000_000n,
  output: 1_500_000_000n,
});
for (const scope of [{ kind: "project", id: project } as const, { kind: "key", id: key.id } as const])
  await bench.ledger.setBudget({ organisation, currency: "USD", scope, limitNano: 10n ** 17n, period: "total" });
const { server, url } = await serveBench(bench);
process.stdout.write(`${JSON.stringify({ url, key: secret })}\n`);
stopAtEndOfInput(server, bench);
