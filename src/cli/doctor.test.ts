// The doctor's checks of a machine and of an instance. They run ldd, which is a child process.
import { describe, expect, test } from "vitest";
import "../../test/setup/processes.ts";
import { Home } from "../fleet/index.ts";
import { testCli } from "./testing.ts";

describe("doctor", () => {
  test("says the address that the instance wrote down, not the one that would be usual", async () => {
    await using cli = await testCli(() => ({ body: { components: [], deployments: [] } }));
    const home = new Home(cli.home);
    home.prepare();
    home.writeMain({ pid: process.pid, address: "http://localhost:4999", postgresPort: null });
    using _running = home.lock();
    const { stdout } = await cli.run(["doctor", "--json"], { LINESHAFT_URL: "http://127.0.0.1:1", LINESHAFT_KEY: "k" });
    const checks = (JSON.parse(stdout) as { checks: { name: string; found: string }[] }).checks;
    expect(checks.find(({ name }) => name === "port")!.found).toBe(
      `http://localhost:4999, used by this instance (${home.file("run", "main.json")})`,
    );
    expect(checks.find(({ name }) => name === "instance")!.found).toContain("does not answer at http://127.0.0.1:1");
  });

  test("names an engine that is away", async () => {
    const engine = { name: "local", engine: "openai", state: "down", endpoints: [{ error: "Nothing listens there." }] };
    await using cli = await testCli(() => ({ body: { components: [], deployments: [engine] } }));
    const { code, stdout } = await cli.run(["doctor"]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/engine local +failed +down: Nothing listens there\./);
    expect(stdout).toContain("npx lineshaft engines remove local");
  });
});
