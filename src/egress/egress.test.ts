// The door to the network against real servers on loopback: what leaves, how failures are said, who waits for whom.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSocketServer, type AddressInfo, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { send, type EgressRequest, type EgressResponse } from "./egress.ts";
import { EgressError } from "./errors.ts";

class ToolError extends Error {}

/** A room's own words for a failure. */
const translate = (error: EgressError): Error => new ToolError(`the tool: ${error.code}`, { cause: error });

async function server(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const http = createServer(answer);
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    http.closeAllConnections();
    http.close();
  });
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
}

const get = (url: string, more: Partial<EgressRequest> = {}): Promise<EgressResponse> =>
  send({ method: "GET", url, headers: [], ...more });

async function textOf({ body }: EgressResponse): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces).toString("utf8");
}

async function unusedAddress(): Promise<string> {
  const http = createServer();
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const { port } = http.address() as AddressInfo;
  await new Promise((resolve) => http.close(resolve));
  return `http://127.0.0.1:${port}`;
}

test("a request has the headers that were named, and those of the connection", async () => {
  let seen: IncomingMessage["headers"] = {};
  const url = await server((request, response) => {
    seen = request.headers;
    response.end("done");
  });
  const body = [Buffer.from("ab"), Buffer.from("cd")];
  expect(await textOf(await send({ method: "POST", url: `${url}/path?q=1`, headers: ["x-own", "1"], body }))).toBe(
    "done",
  );
  expect(Object.keys(seen).toSorted()).toEqual(["connection", "content-length", "host", "x-own"]);
  expect(seen["content-length"]).toBe("4");
});

test("a redirect is an answer, and is not followed", async () => {
  let requests = 0;
  const url = await server((_, response) => {
    requests++;
    response.writeHead(302, { location: "/elsewhere" }).end();
  });
  const answer = await get(url);
  expect(answer.status).toBe(302);
  await textOf(answer);
  expect(requests).toBe(1);
});

describe("failures speak of the endpoint, or in the words of the room that asked", () => {
  const failures: [
    string,
    string,
    (request: IncomingMessage, response: ServerResponse) => void,
    Partial<EgressRequest>,
  ][] = [
    ["silence before the headers", "endpoint_timeout", () => {}, { firstByteMs: 50 }],
    ["a connection that is closed before the headers", "endpoint_unreachable", (_, response) => response.destroy(), {}],
    ["a refused address", "address_refused", () => {}, { reach: "public" }],
  ];
  test.each(failures)("%s: %s", async (_name, code, answer, more) => {
    const url = await server(answer);
    const failed = get(url, more);
    await expect(failed).rejects.toBeInstanceOf(EgressError);
    await expect(failed).rejects.toMatchObject({ code });
    await expect(failed).rejects.not.toThrow(/engine/i);
    await expect(get(url, { ...more, translate })).rejects.toEqual(new ToolError(`the tool: ${code}`));
  });

  test("no listener: endpoint_unreachable, with the reason", async () => {
    const url = await unusedAddress();
    await expect(get(url)).rejects.toMatchObject({
      code: "endpoint_unreachable",
      message: "The endpoint cannot be reached: nothing listens there.",
    });
    await expect(get(url, { translate })).rejects.toThrow("the tool: endpoint_unreachable");
  });

  test.each([
    ["a body that is cut", "endpoint_unreachable", (response: ServerResponse) => void response.destroy(), {}],
    ["a body that falls silent", "endpoint_timeout", () => {}, { silenceMs: 50 }],
  ])("%s, which its reader is told: %s", async (_name, code, then, more) => {
    const url = await server((_, response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("begin", () => setImmediate(then, response));
    });
    await expect(textOf(await get(url, more))).rejects.toMatchObject({ code });
    await expect(textOf(await get(url, { ...more, translate }))).rejects.toThrow(`the tool: ${code}`);
  });

  test("a piece that came while this process was busy is read before its sender is taken for silent", async () => {
    const answers: Socket[] = [];
    const sender = createSocketServer((socket) => {
      answers.push(socket);
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst");
    });
    await new Promise<void>((resolve) => sender.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void sender.close());
    const { port } = sender.address() as AddressInfo;
    const { body } = await get(`http://127.0.0.1:${port}`, { idleMs: 50 });
    let text = "";
    for await (const piece of body) {
      text += Buffer.from(piece).toString();
      if (text !== "first") continue;
      // In the turn in which the first piece was read: timers come before sockets are read again.
      answers[0]!.end("later");
      const until = performance.now() + 100;
      while (performance.now() < until);
    }
    expect(text).toBe("firstlater");
  });

  test("metadata services are refused as configured addresses too", async () => {
    await expect(get("http://169.254.169.254/latest/meta-data")).rejects.toMatchObject({ code: "address_refused" });
  });
});

describe("giving up", () => {
  const silent = () => server(() => {});

  test("before the request: nothing is sent", async () => {
    let requests = 0;
    const url = await server((_, response) => {
      requests++;
      response.end();
    });
    await expect(get(url, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
    expect(requests).toBe(0);
  });

  test("before the headers", async () => {
    const stop = new AbortController();
    const failed = get(await silent(), { signal: stop.signal });
    setImmediate(() => stop.abort());
    await expect(failed).rejects.toMatchObject({ code: "aborted" });
    await expect(get(await silent(), { signal: AbortSignal.abort(), translate })).rejects.toThrow("the tool: aborted");
  });

  test.each(["by the signal", "by the reader that leaves", "by the stream's abort"])(
    "in the middle of the body, %s: the other side sees its connection close",
    async (how) => {
      const gone = Promise.withResolvers<void>();
      const url = await server((_, response) => {
        response.once("close", () => gone.resolve());
        response.writeHead(200);
        response.write("begin");
      });
      const stop = new AbortController();
      const { body } = await get(url, { signal: stop.signal });
      const read = async () => {
        for await (const _ of body) {
          if (how === "by the reader that leaves") return;
          if (how === "by the signal") stop.abort();
          else body.abort();
        }
      };
      if (how === "by the reader that leaves") await read();
      else await expect(read()).rejects.toMatchObject({ code: "aborted" });
      await gone.promise;
    },
  );
});

test("a reader that does not read makes the sender wait, and gets every byte afterwards", async () => {
  const total = 64 * 1024 * 1024;
  const piece = Buffer.alloc(64 * 1024, 1);
  let accepted = 0;
  const url = await server((_, response) => {
    const write = () => {
      while (accepted < total) {
        accepted += piece.length;
        if (!response.write(piece)) return void response.once("drain", write);
      }
      response.end();
    };
    write();
  });
  const { body } = await get(url);
  let before = -1;
  await expect
    .poll(
      () => {
        const stalled = accepted === before;
        before = accepted;
        return stalled;
      },
      { interval: 200 },
    )
    .toBe(true);
  expect(accepted).toBeLessThan(total);
  let bytes = 0;
  for await (const chunk of body) bytes += chunk.length;
  expect(bytes).toBe(total);
});
