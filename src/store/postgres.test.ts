import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { Database } from "./database.ts";
import { chooseRunner, preparePostgres } from "./postgres.ts";
import { unsharedPort } from "../../test/setup/ports.ts";

test("an ordinary user runs the server itself, with its data in the home", () => {
  const runner = chooseRunner(1000);
  expect(runner.wrap("postgres", ["-D", "x"])).toEqual({ command: "postgres", args: ["-D", "x"] });
  expect(runner.dataFolder("/srv/home")).toBe("/srv/home/postgres");
  expect(runner.uid).toBeUndefined();
});

test("root runs it in a user namespace, with its data in the home", () => {
  const runner = chooseRunner(0, "namespace");
  expect(runner.wrap("postgres", ["-D", "x"]).command).toBe("unshare");
  expect(runner.dataFolder("/srv/home")).toBe("/srv/home/postgres");
});

test("where namespaces are forbidden root runs it as nobody, with its data outside root's home", async () => {
  const runner = chooseRunner(0, "nobody");
  const home = mkdtempSync(join(tmpdir(), "lineshaft-nobody-"));
  const data = runner.dataFolder(home);
  expect(data.startsWith(home)).toBe(false);
  if (process.getuid?.() !== 0) return rmSync(home, { recursive: true });
  try {
    const prepared = preparePostgres(
      { home, port: await unsharedPort(), password: "a-password", durable: false },
      runner,
    );
    if (!nobodyReaches(import.meta.dirname)) {
      await expect(prepared).rejects.toMatchObject({ hint: expect.stringContaining("DATABASE_URL") });
      return undefined;
    }
    const { command, args, env, uid, gid, url, stopSignal } = await prepared;
    expect(statSync(data)).toMatchObject({ uid: 65534 });
    expect(statSync(data).mode & 0o777).toBe(0o700);
    const server = spawn(command, args, { env, uid, gid, cwd: "/", stdio: "ignore" });
    const db = new Database(url, { connections: 1 });
    await expect
      .poll(() =>
        db.query("select 1").then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    await db.close();
    server.kill(stopSignal);
    expect(await once(server, "exit")).toEqual([0, null]);
  } finally {
    rmSync(home, { recursive: true, force: true });
    rmSync(dirname(data), { recursive: true, force: true });
  }
  return undefined;
});

/** The installed programs may lie where only root gets to. */
function nobodyReaches(path: string): boolean {
  return spawnSync("test", ["-r", path], { uid: 65534, gid: 65534, cwd: "/" }).status === 0;
}
