// Stored responses in a real installation: what one gateway process has stored is gone on from at another, over HTTP and a WebSocket, and
// after a restart; a process that is killed leaves no response in progress.
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { scriptedEngine, type ScriptedEngine } from "../src/engines/testing.ts";
import { startInstance, type Instance } from "./setup/instance.ts";
import { gatewaysOf, placeIn } from "./setup/places.ts";

const timeout = 240_000;
const price = { currency: "USD", input_nano_per_million: "1000000000", output_nano_per_million: "2000000000" };
const responses = "/v1/responses";
const hello = { model: "stored", input: "first" };

let folder: string;
let engine: ScriptedEngine;
let instance: Instance;
const start = () =>
  startInstance({ home: join(folder, "home"), env: { LINESHAFT_REPLICAS: "0" }, words: ["--gateways", "2"] });
const at = (number: 1 | 2) => placeIn(instance, `gateway-${number}`);
const messages = () => engine.seen.at(-1)!.body["messages"] as { content: string }[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-responses-"));
  engine = await scriptedEngine();
  instance = await start();
  await at(1).ask("POST", "/api/engines", { name: "stored", urls: [engine.url], model: "scripted", price });
}, timeout);
afterAll(async () => {
  await instance.end("SIGTERM");
  await engine[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}, timeout);

/** As if the processes that serve background responses had said nothing for a minute. */
async function passMinute(): Promise<void> {
  const { postgresPassword } = JSON.parse(readFileSync(join(instance.home, "secrets.json"), "utf8"));
  const { postgresPort } = JSON.parse(readFileSync(join(instance.home, "run/main.json"), "utf8"));
  const client = new pg.Client(`postgres://lineshaft:${postgresPassword}@127.0.0.1:${postgresPort}/lineshaft`);
  await client.connect();
  await client.query("update responses set seen_at = seen_at - interval '1 minute' where status = 'in_progress'");
  await client.end();
}

/** Both processes know the engine. */
async function served(): Promise<void> {
  for (const number of [1, 2] as const)
    await expect
      .poll(async () => (await at(number).ask("POST", responses, hello)).status, { timeout: 60_000 })
      .toBe(200);
}

/** A turn over a WebSocket, at whichever process takes the connection. */
async function turn(frame: object): Promise<any> {
  const ws = new WebSocket(`${instance.address.replace("http", "ws")}${responses}`, {
    headers: { authorization: `Bearer ${instance.key}` },
  });
  const ended = Promise.withResolvers<any>();
  ws.on("error", ended.reject);
  ws.on("message", (data: Buffer) => {
    const event = JSON.parse(data.toString());
    if (["response.completed", "response.failed", "error"].includes(event.type)) ended.resolve(event.response ?? event);
  });
  await once(ws, "open");
  ws.send(JSON.stringify({ type: "response.create", ...frame }));
  const answer = await ended.promise;
  ws.close();
  return answer;
}

test(
  "a conversation moves between processes, from HTTP to a WebSocket and back, and over a restart",
  { timeout },
  async () => {
    await served();
    const { body: first } = await at(1).ask("POST", responses, hello);
    const { body: second } = await at(2).ask("POST", responses, {
      ...hello,
      input: "second",
      previous_response_id: first.id,
    });
    const third = await turn({ ...hello, input: "third", previous_response_id: second.id });
    expect(third).toMatchObject({ status: "completed", previous_response_id: second.id });
    expect(messages().filter((_, place) => place % 2 === 0)).toMatchObject([
      { content: "first" },
      { content: "second" },
      { content: "third" },
    ]);
    await instance.end("SIGTERM");
    instance = await start();
    const { body: fourth, status } = await at(1).ask("POST", responses, {
      ...hello,
      input: "fourth",
      previous_response_id: third.id,
    });
    expect([status, fourth.status]).toEqual([200, "completed"]);
    expect(messages()).toHaveLength(7);
    expect((await at(2).ask("GET", `${responses}/${fourth.id}`)).body).toMatchObject({ id: fourth.id });
  },
);

test("a background response is read and cancelled at another process", { timeout }, async () => {
  engine.next({ chunks: ["a", "b"], wait: new Promise(() => {}), waitAfter: 1 });
  const seen = engine.seen.length;
  const { body: made } = await at(1).ask("POST", responses, { ...hello, background: true });
  await expect.poll(() => engine.seen.length).toBe(seen + 1);
  expect((await at(2).ask("GET", `${responses}/${made.id}`)).body.status).toBe("in_progress");
  expect((await at(2).ask("POST", `${responses}/${made.id}/cancel`)).body.status).toBe("cancelled");
  await engine.seen[seen]!.gone;
  expect((await at(1).ask("GET", `${responses}/${made.id}`)).body.status).toBe("cancelled");
});

test("a process that is killed leaves no response in progress", { timeout }, async () => {
  engine.next({ wait: new Promise(() => {}) });
  const seen = engine.seen.length;
  const { body: made } = await at(1).ask("POST", responses, { ...hello, background: true });
  await expect.poll(() => engine.seen.length).toBe(seen + 1);
  process.kill((await gatewaysOf(instance)).get("gateway-1")!.pid!, "SIGKILL");
  await passMinute();
  await expect
    .poll(async () => (await at(2).ask("GET", `${responses}/${made.id}`)).body, { timeout: 120_000, interval: 1_000 })
    .toMatchObject({ status: "failed", error: { code: "server_error" } });
});
