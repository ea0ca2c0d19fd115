// The events of a stream as clients of HTTP read them: every text, in order, on connections that go on, that are of HTTP/1.0, that carry
// several requests at once, and that are read slowly.
import { createServer, request, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { EventWriter } from "./eventWriter.ts";
import { runs } from "../../../test/setup/runs.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));
let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A server whose answers are streams. Answers its port. */
async function serving(
  answer: (writer: EventWriter, response: ServerResponse, path: string) => unknown,
): Promise<number> {
  server = createServer((asked, response) => {
    response.writeHead(200, ["content-type", "text/event-stream"]);
    void answer(new EventWriter(response), response, asked.url!);
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

const textOf = async (port: number) => (await fetch(`http://127.0.0.1:${port}`)).text();

/** All that a server writes to a connection on which these bytes are sent. */
function raw(port: number, sent: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const socket = connect(port, "127.0.0.1", () => void socket.write(sent));
    socket.on("data", (piece) => pieces.push(piece));
    socket.on("end", () => resolve(Buffer.concat(pieces).toString("utf8")));
    socket.on("error", reject);
  });
}

/** Texts of the chunks in a body. Throws where it is not framed right. */
function chunksIn(body: string): string[] {
  const bytes = Buffer.from(body);
  const texts: string[] = [];
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    const length = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    const start = lineEnd + 2;
    expect(bytes.toString("latin1", start + length, start + length + 2)).toBe("\r\n");
    if (length === 0) {
      expect(start + 2).toBe(bytes.length);
      return texts;
    }
    texts.push(bytes.toString("utf8", start, start + length));
    at = start + length + 2;
  }
}

test("every text is read, whatever it holds and however it comes", async () => {
  let events: readonly [text: string, alone: boolean][] = [];
  const port = await serving(async (writer) => {
    for (const [text, alone] of events.slice(0, -1)) {
      void writer.write(text);
      if (alone) await turn();
    }
    writer.end(events.at(-1)?.[0] ?? "");
  });
  const texts = fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("", "0\r\n\r\n", "\u00e9".repeat(40_000)));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(texts, fc.boolean()), { maxLength: 6 }), async (generated) => {
      events = generated;
      expect(await textOf(port)).toBe(events.map(([text]) => text).join(""));
    }),
    { numRuns: runs(100) },
  );
});

test("texts of one turn are one chunk, and a connection goes on with the next request", async () => {
  const port = await serving(async (writer) => {
    void writer.write("a");
    void writer.write("\u20ac");
    await turn();
    await turn();
    void writer.write("c");
    await turn();
    await turn();
    writer.end("d");
  });
  const answers = await raw(
    port,
    "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
  );
  const [, first, second] = answers.split(/HTTP\/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)+\r\n/);
  expect([chunksIn(first!), chunksIn(second!)]).toEqual([
    ["a\u20ac", "c", "d"],
    ["a\u20ac", "c", "d"],
  ]);
});

test("a request that waits behind another on its connection is answered after it", async () => {
  const isFree = Promise.withResolvers<void>();
  const port = await serving(async (writer, response, path) => {
    if (path === "/first") await isFree.promise;
    for (const text of ["one ", "two "]) {
      void writer.write(`${path} ${text}`);
      await turn();
      await turn();
    }
    expect(response.socket === null).toBe(path === "/second");
    writer.end("end");
    isFree.resolve();
  });
  const answers = await raw(
    port,
    "GET /first HTTP/1.1\r\nhost: a\r\n\r\nGET /second HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
  );
  const [, first, second] = answers.split(/HTTP\/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)+\r\n/);
  expect(chunksIn(first!).join("")).toBe("/first one /first two end");
  expect(chunksIn(second!).join("")).toBe("/second one /second two end");
});

test("a client of HTTP/1.0 reads the texts alone", async () => {
  const port = await serving(async (writer) => {
    void writer.write("a");
    await turn();
    await turn();
    void writer.write("\u20ac");
    await turn();
    writer.end("c");
  });
  const answer = await raw(port, "GET / HTTP/1.0\r\n\r\n");
  expect(answer.slice(answer.indexOf("\r\n\r\n") + 4)).toBe("a\u20acc");
  expect(answer).not.toMatch(/transfer-encoding/i);
});

test("a client that does not read is waited for, and one that leaves ends the wait", async () => {
  const waited = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  let written = 0;
  const text = "x".repeat(100_000);
  const port = await serving(async (writer, response) => {
    for (let round = 0; round < 1_000 && !response.destroyed; round++) {
      const waiting = writer.write(text);
      written++;
      if (waiting) {
        waited.resolve();
        await waiting;
      }
      await turn();
    }
    writer.end("");
    over.resolve();
  });
  const client = request({ port, host: "127.0.0.1" }, (response) => void response.pause());
  client.on("error", () => {});
  client.end();
  await waited.promise;
  expect(written).toBeLessThan(1_000);
  client.destroy();
  await over.promise;
  expect(written).toBeLessThan(1_000);
});
