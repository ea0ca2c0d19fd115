// A tool that changes something outside is called once, whatever it answers. The attacker here is the tool's server: it does the work and
// then sends an answer that cannot be read, stored or found again, so that the call looks as if it had never been made.
import { createServer, type Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { limits } from "../../src/agents/limits.ts";
import { startHouse, type House } from "../../src/agents/testing.ts";
import { Secrets } from "../../src/governance/index.ts";
import { testDatabase } from "../../src/store/testing.ts";

/** The bearer token of the tool's server: digits alone, so that it may stand inside a number. */
const digits = "12345678";

let db: Awaited<ReturnType<typeof testDatabase>>;
let house: House;
let server: Server;
let url: string;
/** What `act` answers as its result, as JSON text; calls of it; and what `find` knows. */
let result: string;
let acted: string[];
let found: Record<string, unknown>;

function toolServer(): McpServer {
  const made = new McpServer({ name: "hostile", version: "1" });
  made.registerTool("act", { inputSchema: z.object({}) }, () => ({ content: [] }));
  made.registerTool("find", { inputSchema: z.object({ effect_key: z.string() }) }, () => ({
    structuredContent: found,
    content: [{ type: "text", text: JSON.stringify(found) }],
  }));
  return made;
}

beforeAll(async () => {
  db = await testDatabase();
  house = await startHouse(db);
  const usual = toNodeHandler(createMcpHandler(toolServer));
  server = createServer((request, response) => {
    if (request.headers["mcp-name"] !== "act") return void usual(request, response);
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
    request.once("end", () => {
      const call = JSON.parse(body) as { id: number; params: { _meta: Record<string, string> } };
      acted.push(call.params._meta["lineshaft/effect-key"]!);
      response.writeHead(200, { "content-type": "application/json" });
      response.end(`{"jsonrpc":"2.0","id":${call.id},"result":${result}}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  url = `http://${host}/mcp`;
  const { organisation, project, key } = house.tenant;
  const secret = { organisation, project, name: "digits", hosts: [host], value: digits, createdBy: key };
  await new Secrets({ db, key: Buffer.alloc(32, 1) }).set(secret);
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  server?.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await db[Symbol.asyncDispose]();
});
beforeEach(() => {
  acted = [];
  found = { found: false };
});

async function start(name: string, allowed: Record<string, unknown>, more: Record<string, unknown> = {}) {
  const tools = [{ server: "hostile", url, secret: "digits", allow: { act: { effect: true, ...allowed } } }];
  const steps = [{ id: "order", tool: "act", with: {} }];
  const manifest = { kind: "Agent", name, instructions: "Order.", tools, steps, ...more };
  const source = `export default ({ order }) => ({ verdict: order.number === 7 ? "passed" : "failed", reason: "r" });`;
  const deployed = await house.api("POST", "/api/agents", { manifest, files: { "verifier.js": source } });
  expect(deployed, JSON.stringify(deployed.json)).toMatchObject({ status: 200 });
  return (await house.api("POST", "/api/runs", { agent: name, input: {} })).json.id as string;
}

const structured = (json: string) => `{"resultType":"complete","content":[],"structuredContent":${json}}`;
const worded = (characters: number) =>
  `{"resultType":"complete","content":[{"type":"text","text":"${"a".repeat(characters)}"}]}`;

const unreadable: [string, string][] = [
  ["50,000 arrays inside each other", structured(`{"a":${"[".repeat(50_000)}${"]".repeat(50_000)}}`)],
  ["200,000 values", structured(`{"a":[${"0,".repeat(200_000)}0]}`)],
  ["more than is kept", worded(limits.toolResultBytes + 1)],
  ["more than is read", worded(limits.toolAnswerBytes + 1)],
  ["that it wants to be called again", `{"resultType":"input_required","requestState":"again"}`],
  ["no result of a tool", `{"resultType":"complete","content":"done"}`],
];

test.each(unreadable)("an effect that answers %s is called once, and a person looks", async (what, answer) => {
  result = answer;
  const run = await house.until(await start(`once-${what.replaceAll(/[^a-z0-9]+/g, "-")}`, {}), "waiting", "failed");
  expect(run).toMatchObject({ status: "waiting", error_code: "effect_unknown" });
  expect(acted).toHaveLength(1);
});

test("where its system can be asked, that settles it; a tool that knows its key is not made to repeat such an answer", async () => {
  result = unreadable[3]![1];
  found = { found: true, result: { number: 7 } };
  const settled = await house.until(await start("once-asked", { lookup: "find" }), "completed", "failed");
  expect(settled).toMatchObject({ status: "completed", output: { number: 7 } });
  expect(acted).toHaveLength(1);
  const told = await house.until(await start("once-keyed", { accepts_key: true }), "waiting", "failed");
  expect(told).toMatchObject({ status: "waiting", error_code: "effect_unknown" });
  expect(acted).toHaveLength(2);
  result = unreadable.at(-1)![1];
  const shapeless = await house.until(await start("once-shapeless", { accepts_key: true }), "waiting", "failed");
  expect(shapeless).toMatchObject({ status: "waiting", error_code: "effect_unknown" });
  expect(acted).toHaveLength(3);
});

test("a credential of digits inside numbers is taken out, and the effect is called once", async () => {
  result = structured(`{"number":88${digits}99,"${digits}":[${digits}.5,7,"no ${digits}"]}`);
  const run = await house.until(await start("digits", {}), "completed", "failed", "waiting");
  expect(run).toMatchObject({ status: "completed" });
  const hidden = "[credential]";
  expect(run.output).toEqual({ number: `88${hidden}99`, [hidden]: [`${hidden}.5`, 7, `no ${hidden}`] });
  expect(acted).toHaveLength(1);
});

test("an effect that its system does not know yet is asked for until it does, and is then billed", async () => {
  result = structured(`{"number":7}`);
  const evidence = { order: "${steps.order.output}" };
  const verifier = { id: "seven", version: "1", file: "verifier.js" };
  const outcome = { contract: "ordered", verifier, evidence, price: "0.05" };
  const id = await start("late", { lookup: "find" }, { outcome });
  expect(await house.until(id, "waiting", "failed")).toMatchObject({ error_code: "effect_not_found" });
  // As if it had been asked for as often as other failures are tried again.
  let asked: { status: string; retries: number };
  do {
    await sleep(20);
    const { rows } = await db.query<typeof asked>(
      "update runs set retries = greatest(retries, $2) where id = $1 returning status, retries",
      [id, limits.retries],
    );
    asked = rows[0]!;
  } while (asked.status !== "failed" && !(asked.status === "waiting" && asked.retries > limits.retries));
  expect(asked.status).toBe("waiting");
  found = { found: true, result: { number: 7 } };
  await db.query("update runs set wake_at = now() where id = $1", [id]);
  expect(await house.until(id, "completed", "failed")).toMatchObject({
    status: "completed",
    outcome: { verdict: "passed", price_nano: "50000000" },
  });
  expect(acted).toHaveLength(1);
});
