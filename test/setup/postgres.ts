// Starts one throw-away Postgres for the test run, with a migrated template database that tests clone. The lanes `room` and `whole`
// both ask for it: the second finds the first one's server.
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import pg from "pg";
import { migrate } from "../../src/store/migrate.ts";
import { preparePostgres } from "../../src/store/postgres.ts";
import { prepareRoles, runtimeRole } from "../../src/store/roles.ts";
import { dataFolder, templateName, testPasswords, testServerVariable } from "../../src/store/testing.ts";
import { unsharedPort } from "./ports.ts";

export default async function setup(): Promise<() => Promise<void>> {
  if (process.env[testServerVariable]) return async () => {};
  const home = dataFolder("lineshaft-test-");
  const port = await unsharedPort();
  const server = await preparePostgres({ home, port, password: "test", durable: false });
  const child = spawn(server.command, server.args, {
    env: server.env,
    uid: server.uid,
    gid: server.gid,
    stdio: "ignore",
  });
  // A test run that is killed must not leave a server behind.
  const killNow = () => child.kill("SIGQUIT");
  process.on("exit", killNow);
  await (await connect(server.url)).end();
  const { owner } = await prepareRoles(server.url, testPasswords, templateName);
  const template = await connect(owner);
  await migrate(template, { runtimeRole });
  await template.end();
  process.env[testServerVariable] = server.url;
  return async () => {
    process.off("exit", killNow);
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(server.stopSignal);
    await gone;
    for (const folder of new Set([home, server.dataFolder])) rmSync(folder, { recursive: true, force: true });
  };
}

async function connect(url: string): Promise<pg.Client> {
  for (let attempt = 1; ; attempt++) {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      return client;
    } catch (error) {
      await client.end().catch(() => {});
      if (attempt === 600) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
