// A home that was copied while its original runs: it holds the original's list of children, its secrets and its unfinished runs.
// Started beside the original it says that it is a copy and touches nothing; adopted it is an instance of its own.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Status } from "../../src/contract/index.ts";
import { startInstance, type Instance } from "../setup/instance.ts";
import { unsharedPort } from "../setup/ports.ts";

const hangMs = 120_000;
const launcher = fileURLToPath(new URL("../../bin/lineshaft", import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-copy-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

async function childrenOf(instance: Instance): Promise<string[]> {
  const response = await fetch(`${instance.address}/api/status`, {
    headers: { authorization: `Bearer ${instance.key}` },
  });
  const status = (await response.json()) as Status;
  return status.components.map(({ name, state, pid, restarts }) => `${name} ${state} ${pid} ${restarts}`).toSorted();
}

test("beside its original it is refused; adopted it goes its own way, and the original loses no child", async () => {
  const home = join(folder, "original");
  const first = await startInstance({ home });
  expect(await first.end("SIGTERM")).toBe(0);
  const copy = join(folder, "copy");
  cpSync(home, copy, { recursive: true, filter: (path) => !path.endsWith(".sock") });
  await using original = await startInstance({ home });
  // A copy of a running home holds the records of the running processes and the lock file of the database.
  for (const name of ["run/children.json", "run/main.json", "postgres/postmaster.pid"])
    cpSync(join(home, name), join(copy, name));
  const children = await childrenOf(original);
  expect(children).toHaveLength(4);

  const port = await unsharedPort();
  const refused = spawnSync(launcher, ["up"], {
    env: { ...process.env, LINESHAFT_HOME: copy, LINESHAFT_PORT: String(port) },
    encoding: "utf8",
    // If the start were not refused, the process would run on.
    timeout: hangMs,
    killSignal: "SIGTERM",
  });
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(/^error: This home is a copy/m);
  expect(refused.stderr).toMatch(/^ {2}next: .*lineshaft up --adopt/m);
  expect(await childrenOf(original)).toEqual(children);

  await using adopted = await startInstance({ home: copy, port, words: ["--adopt"] });
  expect(adopted.output()).toContain("an instance of its own; 0 unfinished runs");
  expect(await childrenOf(original)).toEqual(children);
  const own = await childrenOf(adopted);
  expect(own).toHaveLength(4);
  expect(own.filter((child) => children.includes(child))).toEqual([]);
  // As when the machine is lost: the next start ends the processes that this one left, and no others.
  await adopted.end("SIGKILL");
  const moved = join(folder, "moved");
  renameSync(copy, moved);
  await using again = await startInstance({ home: moved, port });
  expect(again.output()).toMatch(/what it left running was ended/);
  expect(await childrenOf(original)).toEqual(children);
  expect(readFileSync(join(moved, "home.json"), "utf8")).toContain(moved);
  expect(await again.end("SIGTERM")).toBe(0);
  expect(await childrenOf(original)).toEqual(children);
});
