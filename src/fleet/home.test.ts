import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { LineshaftError } from "../errors/index.ts";
import { Home } from "./home.ts";
import { assertPortFree, freePort } from "./ports.ts";
import { waitForLock } from "../store/lock.ts";

let folder: string;
let home: Home;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-home-"));
  home = new Home(join(folder, "home"));
  home.prepare();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const mode = (path: string) => statSync(path).mode & 0o777;

describe("the home", () => {
  test("is private, and so are its secrets and credentials", () => {
    home.secrets();
    home.writeCredentials({ address: "http://localhost:4070", key: "k" });
    expect(mode(home.path)).toBe(0o700);
    expect(mode(home.runFolder)).toBe(0o700);
    expect(mode(home.file("secrets.json"))).toBe(0o600);
    expect(mode(home.credentialsPath)).toBe(0o600);
  });

  test("keeps its secrets over starts", () => {
    expect(new Home(home.path).secrets()).toEqual(home.secrets());
  });

  test("of an earlier version gets the secrets that it lacks and keeps those that it has", () => {
    const before = { keyHmac: "a".repeat(64), postgresPassword: "b".repeat(32) };
    writeFileSync(home.file("secrets.json"), JSON.stringify(before), { mode: 0o600 });
    const secrets = home.secrets();
    expect(secrets).toMatchObject(before);
    expect(secrets.postgresRuntimePassword).toMatch(/^[\w-]{32}$/);
    expect(JSON.parse(readFileSync(home.file("secrets.json"), "utf8"))).toEqual(secrets);
    expect(home.secrets()).toEqual(secrets);
    expect(mode(home.file("secrets.json"))).toBe(0o600);
  });

  test("answers no credentials when there are none, and never overwrites a damaged file", () => {
    expect(home.credentials()).toBeUndefined();
    writeFileSync(home.file("secrets.json"), "{");
    expect(() => home.secrets()).toThrow(LineshaftError);
    expect(readFileSync(home.file("secrets.json"), "utf8")).toBe("{");
  });

  test("that cannot be made says why and what to do", () => {
    writeFileSync(join(folder, "file"), "");
    const impossible = new Home(join(folder, "file", "home"));
    expect(() => impossible.prepare()).toThrow(/cannot be used/);
  });

  test("comes from LINESHAFT_HOME", () => {
    expect(Home.fromEnvironment({ LINESHAFT_HOME: "/somewhere" }).path).toBe("/somewhere");
    expect(Home.fromEnvironment({}).path).toMatch(/\.lineshaft$/);
  });
});

describe("the home's lock", () => {
  test("lets one start in and tells the second who runs", () => {
    using _lock = home.lock();
    home.writeMain({ pid: 4711, address: "http://localhost:4070", postgresPort: null });
    expect(home.isFree()).toBe(false);
    expect(() => new Home(home.path).lock()).toThrow(
      expect.objectContaining({
        code: "already_running",
        why: expect.stringContaining("4711 serves http://localhost:4070"),
      }),
    );
  });

  test("is free again when its holder has ended, however it ended", async () => {
    const lockPath = home.file("run", "lock");
    const holder = spawn(
      process.execPath,
      [
        "-e",
        `const {DatabaseSync}=require("node:sqlite");globalThis.db=new DatabaseSync(${JSON.stringify(lockPath)});db.exec("begin exclusive");console.log("held");setInterval(()=>{},1000)`,
      ],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    await once(holder.stdout!, "data");
    expect(home.isFree()).toBe(false);
    holder.kill("SIGKILL");
    await once(holder, "exit");
    home.lock()[Symbol.dispose]();
  });

  test("can be waited for", async () => {
    const path = home.file("run", "other");
    const first = await waitForLock(path);
    let second: Promise<Disposable> | undefined;
    await new Promise<void>((told) => (second = waitForLock(path, undefined, told)));
    first[Symbol.dispose]();
    using _second = await second!;
  });
});

describe("ports", () => {
  test("a busy one is named with who holds it and what to do", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    await expect(assertPortFree(port, "127.0.0.1")).rejects.toMatchObject({
      code: "port_busy",
      message: `Port ${port} is in use.`,
      why: expect.stringContaining(`pid ${process.pid}`),
      hint: expect.stringContaining("LINESHAFT_PORT"),
    });
    server.close();
  });

  test("the one that is kept for another server is not given", async () => {
    const listen = vi.spyOn(Server.prototype, "address");
    onTestFinished(() => void listen.mockRestore());
    const address = { address: "127.0.0.1", family: "IPv4" };
    listen.mockReturnValueOnce({ ...address, port: 40_001 }).mockReturnValueOnce({ ...address, port: 40_002 });
    expect(await freePort(40_001)).toBe(40_002);
  });

  test("a free one can be taken", async () => {
    await assertPortFree(await freePort(), "127.0.0.1");
  });
});
