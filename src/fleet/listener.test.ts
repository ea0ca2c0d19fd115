import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { once } from "node:events";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import "../../test/setup/processes.ts";
import { bindShared, type SharedListener } from "./listener.ts";
import { Supervisor } from "./supervisor.ts";
import { testChild } from "./testing/spec.ts";

let home: string;
let listener: SharedListener;
let supervisor: Supervisor;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "lineshaft-listener-"));
  listener = await bindShared(0, "127.0.0.1");
  supervisor = new Supervisor({ recordsPath: join(home, "run", "children.json"), mark: home });
});

afterEach(async () => {
  listener.close();
  await supervisor.stopAll();
  rmSync(home, { recursive: true, force: true });
});

const accepting = (name: string) =>
  supervisor.start(testChild(name, "accept", { descriptors: [listener.fd], stopTimeoutMs: 200 }));

const pidOf = (name: string) => supervisor.status().find((child) => child.name === name)!.pid!;

/** The pid of the process that answered, over a connection of its own. */
function answeredBy(): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port: listener.port, agent: false }, (response) => {
      let text = "";
      response.on("data", (bytes: Buffer) => (text += bytes.toString()));
      response.on("end", () => resolve(Number(text)));
    }).on("error", reject);
  });
}

test("a frozen process is given no new connection, and one that goes on again is", async () => {
  await Promise.all([accepting("one"), accepting("two")]);
  process.kill(pidOf("one"), "SIGSTOP");
  for (let count = 0; count < 20; count++) expect(await answeredBy()).toBe(pidOf("two"));
  process.kill(pidOf("one"), "SIGCONT");
  process.kill(pidOf("two"), "SIGSTOP");
  expect(await answeredBy()).toBe(pidOf("one"));
});

test("while no process accepts, connections wait and are answered by the next one", async () => {
  await accepting("one");
  await supervisor.stop("one");
  const waiting = answeredBy();
  await accepting("two");
  expect(await waiting).toBe(pidOf("two"));
});

test("a port that another socket has is refused by name, and a closed listener refuses connections", async () => {
  await accepting("one");
  await expect(bindShared(listener.port, "127.0.0.1").then((second) => second.close())).rejects.toMatchObject({
    code: "port_busy",
  });
  listener.close();
  await supervisor.stop("one");
  const [error] = (await once(connect(listener.port, "127.0.0.1"), "error")) as [NodeJS.ErrnoException];
  expect(error.code).toBe("ECONNREFUSED");
});
