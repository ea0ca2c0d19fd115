// A gateway process with a heap of 96 MB under everything that fills memory at once: large bodies of calls that do not end, whole answers
// and streams whose readers do not read. It refuses with 503 `memory_full`, goes on with what is under way, and is whole again afterwards.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, request, type ClientRequest, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, expect, test } from "vitest";
import { hello } from "../../src/api/testing.ts";
import { testDatabase } from "../../src/store/testing.ts";

const mib = 2 ** 20;
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0).toReversed()) end();
});

/** Answers whole with `wholeBytes` of text, and streams without end, as fast as it is read. */
async function engine(wholeBytes: number): Promise<string> {
  const server: Server = createServer((asked, answer) => {
    const pieces: Buffer[] = [];
    asked.on("data", (piece: Buffer) => pieces.length < 4 && pieces.push(piece));
    asked.once("end", () => {
      if (asked.url!.endsWith("/models")) return void answer.end('{"object":"list","data":[{"id":"scripted"}]}');
      const start = Buffer.concat(pieces).toString();
      // A call that hangs holds its body, its text and its values.
      if (start.includes("hang")) return;
      const small = start.includes('"hi"');
      const choice = {
        index: 0,
        message: { role: "assistant", content: "a".repeat(small ? 2 : wholeBytes) },
        finish_reason: "stop",
      };
      const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
      if (!start.includes('"stream":true'))
        return void answer.end(JSON.stringify({ id: "a", choices: [choice], usage }));
      answer.writeHead(200, { "content-type": "text/event-stream" });
      const event = `data: ${JSON.stringify({ id: "a", choices: [{ index: 0, delta: { content: "a".repeat(32 * 1024) } }] })}\n\n`;
      const pump = () => {
        while (!answer.destroyed) if (!answer.write(event)) return void answer.once("drain", pump);
      };
      pump();
    });
  });
  ends.push(() => (server.closeAllConnections(), server.close()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Gateway {
  child: ChildProcess;
  url: string;
  key: string;
}

async function smallGateway(engineUrl: string, databaseUrl: string): Promise<Gateway> {
  const script = join(import.meta.dirname, "../../bench/gatewayServer.ts");
  const child = spawn(process.execPath, ["--max-old-space-size=96", script, engineUrl, databaseUrl], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  ends.push(() => child.kill("SIGKILL"));
  const [line] = (await once(createInterface(child.stdout!), "line")) as [string];
  return { child, ...(JSON.parse(line) as { url: string; key: string }) };
}

/** One request; `read: false` leaves its answer unread. `end: false` keeps the last byte of the body back. */
function send(url: string, key: string, body: string, how: { read: boolean; end: boolean }) {
  const answered = Promise.withResolvers<{ status: number; body: string }>();
  const bytes = Buffer.from(body);
  const asked: ClientRequest = request(
    `${url}/v1/chat/completions`,
    {
      method: "POST",
      agent: false,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json", "content-length": bytes.length },
    },
    (answer: IncomingMessage) => {
      if (!how.read && answer.statusCode === 200) return answered.resolve({ status: 200, body: "" });
      let text = "";
      answer.on("data", (piece: Buffer) => (text += piece.toString().slice(0, 1_000)));
      answer.once("end", () => answered.resolve({ status: answer.statusCode!, body: text }));
    },
  );
  // A request that is refused or given up is closed under its sender.
  asked.once("error", () => answered.resolve({ status: 0, body: "" }));
  ends.push(() => asked.destroy());
  asked.write(how.end ? bytes : bytes.subarray(0, -1));
  if (how.end) asked.end();
  return { answered: answered.promise, asked };
}

test(
  "large bodies, unread answers and slow readers at once never end the process; it refuses, and recovers",
  { timeout: 600_000 },
  async () => {
    await using db = await testDatabase();
    const engineUrl = await engine(2 * mib);
    const { child, url, key } = await smallGateway(engineUrl, db.url);
    const keys = [key];
    for (let count = 1; count < 5; count++) {
      const made = await fetch(`${url}/api/keys`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body: JSON.stringify({ name: `k${count}` }),
      });
      keys.push(((await made.json()) as { secret: string }).secret);
    }
    const state = { died: false };
    child.once("exit", () => (state.died = true));
    const large = JSON.stringify({ ...hello, messages: [{ role: "user", content: `hang${"b".repeat(mib)}` }] });
    const whole = JSON.stringify({ ...hello, messages: [{ role: "user", content: "whole" }] });
    const stream = JSON.stringify({ ...hello, stream: true, messages: [{ role: "user", content: "stream" }] });
    const sent = keys.flatMap((one) => [
      ...Array.from({ length: 20 }, () => send(url, one, stream, { read: false, end: true })),
      ...Array.from({ length: 20 }, () => send(url, one, whole, { read: false, end: true })),
      ...Array.from({ length: 40 }, (_, place) => send(url, one, large, { read: true, end: place % 4 > 0 })),
    ]);
    const codes = new Map<string, number>();
    for (const { answered } of sent)
      void answered.then(({ status, body }) => {
        const code = /"code":"(\w+)"/.exec(body)?.[1] ?? String(status);
        codes.set(code, (codes.get(code) ?? 0) + 1);
      });
    while (!state.died && !codes.has("memory_full")) await new Promise((resolve) => setTimeout(resolve, 50));
    // New work is refused while it stands; wave after wave changes nothing.
    for (let wave = 0; wave < 3; wave++)
      await Promise.race([
        Promise.all(keys.map((one) => send(url, one, large, { read: true, end: true }).answered)),
        once(child, "exit"),
      ]);
    expect(state.died).toBe(false);
    expect(codes.get("memory_full")).toBeGreaterThan(0);
    for (const { asked } of sent) asked.destroy();
    // All is released: a plain call is served, and nothing is counted any more.
    const metric = async () => {
      const text = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${key}` } })).text();
      return [...text.matchAll(/^lineshaft_buffered_bytes\{what="(\w+)"\} (\S+)$/gm)].map(([, what, bytes]) => [
        what,
        Number(bytes),
      ]);
    };
    for (;;) {
      const { status } = await send(url, key, JSON.stringify(hello), { read: true, end: true }).answered;
      const left = (await metric()).filter(([, bytes]) => bytes !== 0);
      if (status === 200 && left.length === 0) break;
      expect(state.died).toBe(false);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  },
);
