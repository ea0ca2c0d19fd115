// A stop is over in time whatever hangs: database, engine, Restate and worker frozen, an engine that never answers, a client that never
// reads, a reader of events. Nothing is left running, and what could not be settled is settled by the next start.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Status } from "../../src/contract/index.ts";
import { startInstance, type Instance } from "../setup/instance.ts";

/** Above the five seconds that are promised (src/instance/undo.test.ts adds up the parts): a machine may be slow, a hang is for ever. */
const hangMs = 60_000;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-stop-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

/** A process and everything below it. */
function tree(root: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It has ended meanwhile.
    }
  const found = [root];
  for (const one of found) for (const [pid, parent] of parents) if (parent === one) found.push(pid);
  return found;
}

function alive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

async function statusOf(instance: Instance): Promise<Status> {
  const response = await fetch(`${instance.address}/api/status`, {
    headers: { authorization: `Bearer ${instance.key}` },
  });
  return (await response.json()) as Status;
}

function post(instance: Instance, path: string, body: object): Promise<Response> {
  return fetch(`${instance.address}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${instance.key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** An engine that lists its model and then never answers a call. */
async function silentEngine(): Promise<{ url: string; asked: () => number; close: () => void }> {
  let asked = 0;
  const server = createServer((request, response) => {
    if (request.url!.endsWith("/models")) response.end(JSON.stringify({ object: "list", data: [{ id: "silent" }] }));
    else asked++;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    asked: () => asked,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Processes whose money is not settled and given back, the one that runs apart; asked of the instance's own database. */
async function openEpochs(home: string): Promise<string> {
  const { postgresPassword } = JSON.parse(readFileSync(join(home, "secrets.json"), "utf8")) as Record<string, string>;
  const { postgresPort } = JSON.parse(readFileSync(join(home, "run/main.json"), "utf8")) as Record<string, number>;
  const client = new pg.Client({
    connectionString: `postgres://lineshaft:${postgresPassword}@127.0.0.1:${postgresPort}/lineshaft`,
  });
  await client.connect();
  const { rows } = await client.query<{ open: string }>("select count(*) - 1 as open from epochs where state = 'live'");
  await client.end();
  return rows[0]!.open;
}

/** A client that asks for a stream and never reads a byte of it. */
function neverReads(instance: Instance): () => void {
  const socket = connect(instance.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  const body = JSON.stringify({
    model: "smollm2-135m-instruct",
    stream: true,
    max_tokens: 2_000,
    messages: [{ role: "user", content: "Count to a thousand." }],
  });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${instance.key}\r\n` +
      `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  return () => socket.destroy();
}

test.each([
  ["nothing", []],
  ["Postgres", ["postgres"]],
  ["Postgres, Restate and the worker", ["postgres", "restate", "worker-0"]],
])("with %s frozen", async (_what, frozen: string[]) => {
  const home = join(folder, frozen.join("-") || "none");
  await using instance = await startInstance({ home });
  // Thaws the processes that a failed expectation would leave frozen, before the instance is disposed.
  using left = new DisposableStack();
  const engine = await silentEngine();
  left.defer(engine.close);
  const price = {
    currency: "USD",
    input_nano_per_million: "1000",
    cached_nano_per_million: "1000",
    output_nano_per_million: "1000",
  };
  const added = await post(instance, "/api/engines", { name: "silent", urls: [engine.url], model: "silent", price });
  expect(added.status, await added.text()).toBe(200);
  const under = post(instance, "/v1/chat/completions", { model: "silent", messages: [{ role: "user", content: "x" }] });
  under.catch(() => {});
  left.defer(neverReads(instance));
  const events = fetch(`${instance.address}/api/events`, { headers: { authorization: `Bearer ${instance.key}` } });
  await events;
  await expect.poll(() => engine.asked(), { timeout: hangMs }).toBeGreaterThan(0);

  const status = await statusOf(instance);
  const main = status.components.find(({ name }) => name === "main")!.pid!;
  const all = tree(main);
  const stopped = status.components.filter(({ name }) => frozen.includes(name)).flatMap(({ pid }) => tree(pid!));
  left.defer(() => {
    for (const pid of stopped.filter(alive)) process.kill(pid, "SIGKILL");
  });
  for (const pid of stopped) process.kill(pid, "SIGSTOP");
  const begun = performance.now();
  const code = await instance.end("SIGTERM");
  const tookMs = performance.now() - begun;
  console.log(`stopped in ${Math.round(tookMs)} ms with frozen: ${frozen.join(", ") || "nothing"}`);
  expect(code).toBe(0);
  expect(tookMs).toBeLessThan(hangMs);
  expect(all.filter(alive)).toEqual([]);
  left.dispose();

  // The next start settles what this one could not.
  await using next = await startInstance({ home });
  await expect.poll(() => openEpochs(home), { timeout: hangMs }).toBe("0");
  expect(await next.end("SIGTERM")).toBe(0);
});
