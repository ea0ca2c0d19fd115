// The disk of the home fills up under a running instance: no process ends, answers under way are paid and recorded, every request that
// needs the disk is refused with `storage_full`, and work goes on by itself when there is room. Every sum is proven after it. On a small
// file system of its own where one may be mounted (Linux, root).
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, closeSync, rmSync, statfsSync, writeSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Status } from "../../src/contract/index.ts";
import { startInstance, type Instance } from "../setup/instance.ts";

const hangMs = 60_000;
const root = fileURLToPath(new URL("../../", import.meta.url));

let folder: string;
let mounted = false;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-disk-"));
  const disk = join(folder, "disk");
  mkdirSync(disk);
  mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=420m,mode=711", "tmpfs", disk]).status === 0;
});
afterAll(() => {
  if (mounted) spawnSync("umount", ["-l", join(folder, "disk")]);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** Writes until the disk is full. */
function fill(path: string): void {
  const file = openSync(path, "w");
  try {
    for (let block = Buffer.alloc(1 << 20); block.length > 0; block = block.subarray(0, block.length >> 1))
      try {
        for (;;) writeSync(file, block);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
  } finally {
    closeSync(file);
  }
}

async function call(instance: Instance): Promise<{ status: number; code: string | undefined }> {
  const response = await fetch(`${instance.address}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${instance.key}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: "smollm2-135m-instruct",
      max_tokens: 2,
      messages: [{ role: "user", content: "Say yes." }],
    }),
  });
  const body = (await response.json()) as { error?: { code: string } };
  return { status: response.status, code: body.error?.code };
}

/** An answer that is under way: its first words have come. Its end is the id of its call. */
async function answering(instance: Instance): Promise<{ end: Promise<string> }> {
  const response = await fetch(`${instance.address}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${instance.key}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: "smollm2-135m-instruct",
      max_tokens: 300,
      stream: true,
      messages: [{ role: "user", content: "Tell a long story of a mill and its river." }],
    }),
  });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  await reader.read();
  const end = (async () => {
    let last = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) last = part.value;
    expect(last).toContain("[DONE]");
    return response.headers.get("x-lineshaft-call")!;
  })();
  return { end };
}

const cli = (instance: Instance, ...words: string[]) =>
  spawnSync(join(root, "bin/lineshaft"), words, {
    env: { ...process.env, LINESHAFT_HOME: instance.home },
    encoding: "utf8",
  });

async function statusOf(instance: Instance): Promise<Status> {
  const response = await fetch(`${instance.address}/api/status`, {
    headers: { authorization: `Bearer ${instance.key}` },
  });
  return (await response.json()) as Status;
}

const component = async (instance: Instance, name: string) =>
  (await statusOf(instance)).components.find((one) => one.name === name);

test("nothing dies, everything that asks is told storage_full, and it heals by itself", async ({ skip }) => {
  skip(!mounted, "no file system may be mounted here");
  const disk = join(folder, "disk");
  await using instance = await startInstance({ home: join(disk, "home"), env: { LINESHAFT_LOG: "info" } });
  expect((await call(instance)).status).toBe(200);
  const main = (await component(instance, "main"))!.pid;

  const underWay = await Promise.all([answering(instance), answering(instance)]);
  fill(join(disk, "ballast"));
  expect(statfsSync(disk).bavail).toBe(0);
  const answered = await Promise.all(underWay.map(({ end }) => end));
  // The restart of a child that dies now cannot be recorded on disk, and the child is started again all the same.
  const worker = (await component(instance, "worker-0"))!;
  process.kill(worker.pid!, "SIGKILL");
  await expect.poll(() => call(instance), { timeout: hangMs }).toEqual({ status: 507, code: "storage_full" });
  const health = await fetch(`${instance.address}/healthz`);
  expect([health.status, await health.json()]).toEqual([503, { status: "storage_full" }]);
  const made = await fetch(`${instance.address}/api/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${instance.key}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "one", role: "member" }),
  });
  expect([made.status, ((await made.json()) as { error: { code: string } }).error.code]).toEqual([507, "storage_full"]);
  const told = cli(instance, "status");
  expect([told.status, told.stdout + told.stderr]).toEqual([1, expect.stringContaining("storage_full")]);
  await expect
    .poll(async () => (await component(instance, "worker-0"))?.restarts, { timeout: hangMs })
    .toBeGreaterThan(worker.restarts);

  rmSync(join(disk, "ballast"));
  await expect.poll(async () => (await call(instance)).status, { timeout: hangMs }).toBe(200);
  await expect.poll(async () => (await fetch(`${instance.address}/healthz`)).status, { timeout: hangMs }).toBe(200);
  const after = await statusOf(instance);
  expect(after.storage.state).toBe("ok");
  expect(after.components.find(({ name }) => name === "main")!.pid).toBe(main);
  // The list of children that could not be written meanwhile is written: it names the processes that run now.
  await expect
    .poll(
      async () => {
        const { components } = await statusOf(instance);
        return [pidsOf(writtenChildren(instance)), pidsOf(components.filter(({ name }) => name !== "main"))];
      },
      { timeout: hangMs },
    )
    .toSatisfy(([written, running]: string[]) => written === running && running !== "");
  // What was under way has its records and its bill, and every sum agrees.
  for (const id of answered) {
    const recorded = async () => {
      const response = await fetch(`${instance.address}/api/calls/${id}`, {
        headers: { authorization: `Bearer ${instance.key}` },
      });
      return response.json();
    };
    await expect.poll(recorded, { timeout: hangMs }).toMatchObject({ status: "completed" });
  }
  const proof = cli(instance, "prove");
  expect([proof.status, proof.stdout + proof.stderr]).toEqual([0, expect.any(String)]);
});

/** The content of the home's file; an empty answer while the file is incomplete. */
function writtenChildren({ home }: Instance): { pid: number }[] {
  try {
    return JSON.parse(readFileSync(join(home, "run/children.json"), "utf8")) as { pid: number }[];
  } catch {
    return [];
  }
}

const pidsOf = (list: { pid?: number | undefined }[]): string =>
  list
    .map(({ pid }) => String(pid))
    .toSorted()
    .join();

const logs = `
  import { createLogger } from ${JSON.stringify(join(root, "src/telemetry/logger.ts"))};
  const log = createLogger({ level: "info" });
  for (let line = 0; line < 100; line++) log.error({ line }, "a line");
  setTimeout(() => { log.error("after a turn"); process.exit(7); }, 50);
`;

test.each(["a full disk", "a reader that has gone"])("a log that goes to %s ends nothing", async (what) => {
  const full = openSync("/dev/full", "w");
  const child = spawn(process.execPath, ["--input-type=module", "--eval", logs], {
    stdio: ["ignore", "ignore", what === "a full disk" ? full : "pipe"],
  });
  child.stderr?.destroy();
  expect(await once(child, "exit")).toEqual([7, null]);
  closeSync(full);
});
