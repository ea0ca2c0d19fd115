// Codex, unmodified, over Responses: the one API that it speaks, by HTTP and over a WebSocket.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { npmClients } from "./install.ts";
import { hello, openWorld, runProgram, task, withHello, type Ran, type World } from "./world.ts";

let world: World;
let codex: string;

beforeAll(async () => {
  const vendor = "node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";
  codex = join(await npmClients(), vendor);
  world = await openWorld();
});
afterAll(() => world?.[Symbol.asyncDispose]());

/** One turn without a person, behind the provider that Lineshaft is. */
function exec(model: string, words: string[], at: { home: string; work: string; overSocket: boolean }): Promise<Ran> {
  const provider = {
    name: "Lineshaft",
    base_url: `${world.address}/v1`,
    env_key: "LINESHAFT_KEY",
    wire_api: "responses",
    request_max_retries: 0,
    stream_max_retries: 0,
    supports_websockets: at.overSocket,
  };
  const settings = [
    `model="${model}"`,
    `model_provider="lineshaft"`,
    ...Object.entries(provider).map(([name, value]) => `model_providers.lineshaft.${name}=${JSON.stringify(value)}`),
  ];
  const options = ["--skip-git-repo-check", "--sandbox", "danger-full-access"];
  const all = ["exec", ...options, ...settings.flatMap((setting) => ["-c", setting]), ...words];
  return runProgram(codex, all, { ...at, env: { LINESHAFT_KEY: world.key } });
}

describe.each([
  ["HTTP", false],
  ["a WebSocket", true],
])("over %s", (_transport, overSocket) => {
  test("reads a file, writes another, and says so", async () => {
    const { home, work } = world.folder();
    withHello(work);
    const model = overSocket ? "codex-socket" : "codex-task";
    const before = { ...world.arrived };
    const engine = await world.serve(
      model,
      task(
        [
          { tool: "exec_command", arguments: { cmd: `cat ${hello.name}` } },
          { tool: "exec_command", arguments: { cmd: "printf 'Seven apples, counted.' > out.txt" } },
        ],
        "I have read hello.txt and written out.txt.",
      ),
    );
    const ran = await exec(model, ["Read hello.txt and write out.txt."], { home, work, overSocket });
    expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(0);
    expect(readFileSync(join(work, "out.txt"), "utf8")).toBe("Seven apples, counted.");
    expect(ran.stdout).toContain("I have read hello.txt and written out.txt.");
    expect(engine.seen.at(-1)!.text).toContain(hello.text.trim());
    expect(world.arrived.sockets > before.sockets).toBe(overSocket);
    expect(world.arrived.posts - before.posts).toBe(overSocket ? 0 : 3);
    const calls = await world.callsOf(model);
    expect(calls).toHaveLength(3);
    for (const call of calls) expect(call).toMatchObject({ status: "completed", stream: true, endpoint: "responses" });
    expect(new Set(calls.map((call) => call["program"])).size).toBe(1);
  });
});
