// The guard of the pure lane (setup/pure.ts), which watches this very process. `node:child_process` is imported by a name made at run
// time, because an import of it would put this file into the lane `room`.
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { takeViolations } from "./setup/pure.ts";

type Start = Record<string, (...given: unknown[]) => unknown>;
const children = (await import(["node", "child_process"].join(":"))) as Start;

test.each([
  ["spawn", ["true", []]],
  ["exec", ["true"]],
  ["execFile", ["true"]],
  ["fork", ["none.ts"]],
  ["spawnSync", ["true"]],
  ["execSync", ["true"]],
  ["execFileSync", ["true"]],
])("%s is refused, and is a failure of the test although the error is caught", (name, given) => {
  expect(() => children[name]!(...given)).toThrow(/^A test of the lane "pure" started a child process \(.+\)\. /);
  expect(takeViolations()).toMatchObject([{ message: expect.stringContaining("test/setup/processes.ts") }]);
});

test("a server of this process is reached, by port and by path", async () => {
  for (const place of [0, join(tmpdir(), `lineshaft-guard-${process.pid}.sock`)]) {
    const server = createServer((socket) => socket.end()).listen(place);
    await once(server, "listening");
    const address = server.address() as AddressInfo | string;
    const socket = typeof address === "string" ? connect(address) : connect(address.port, "127.0.0.1");
    await once(socket, "connect");
    socket.destroy();
    server.close();
  }
  expect(takeViolations()).toEqual([]);
});

test.each<[string, () => unknown]>([
  ["port and host", () => connect(1, "127.0.0.1")],
  ["options", () => connect({ port: 1, host: "127.0.0.1" })],
  ["path", () => connect("/none.sock")],
])("anything else is refused, named by %s", (_how, open) => {
  expect(open).toThrow(
    /^A test of the lane "pure" opened a connection to (?:127\.0\.0\.1:1|\/none\.sock), where no server/,
  );
  expect(takeViolations()).toHaveLength(1);
});

test("nor is it reached by fetch", async () => {
  await expect(fetch("http://127.0.0.1:4")).rejects.toThrow("fetch failed");
  expect(takeViolations()).toHaveLength(1);
});
