// Mistakes of a first use: wrong names, missing arguments, no running instance. Every error says what is wrong and what to do, and no money
// is spent by mistake.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { Home } from "../fleet/index.ts";
import type { Run } from "../contract/index.ts";
import { blockedPorts, openPortAfter } from "../instance/blockedPorts.ts";
import { examplesOf, makeContext } from "./context.ts";
import { contextNotes } from "../fleet/index.ts";
import { buildProgram } from "./main.ts";
import { waitLine } from "./runs.ts";
import { readSettings } from "../instance/settings.ts";
import { Terminal } from "./terminal.ts";
import { shellWords, testCli, testNow } from "./testing.ts";

const page = (data: unknown[]) => ({ body: { data, next_cursor: null } });

describe("every example of help", () => {
  const program = () => buildProgram(makeContext(new Terminal({ env: {} }), new AbortController().signal));
  const commands = (command: Command): Command[] => [command, ...command.commands.flatMap(commands)];
  const examples = [...new Set(commands(program()).flatMap(examplesOf))];

  test.each(examples)("%s: is a command line as it stands", async (example) => {
    const parsed = program();
    let ran = "";
    for (const command of commands(parsed))
      // `backup` is a verb, and has `backup verify` below it.
      if (command.commands.length === 0 || command.name() === "backup")
        command.exitOverride().action(() => void (ran = command.name()));
    await parsed.parseAsync(shellWords(example), { from: "user" });
    expect(ran).not.toBe("");
  });
});

describe("keys revoke", () => {
  const key = (id: string, name: string, revoked_at: string | null = null) => ({
    id,
    name,
    role: "member",
    project: "prj_1",
    created_at: "2026-01-01T22:00:00Z",
    revoked_at,
  });
  const keys = [
    key("key_01ka", "laptop"),
    key("key_01kb", "laptop"),
    key("key_02aa", "ci"),
    key("key_03aa", "old", "2026-01-01T23:00:00Z"),
  ];
  const cliWith = (list = keys) =>
    testCli(({ method }) => (method === "DELETE" ? { body: { id: "x", revoked: true } } : page(list)));

  test("of a name that no key has names those that there are", async () => {
    await using cli = await cliWith();
    const { code, stderr } = await cli.run(["keys", "revoke", "cj"]);
    expect(code).toBe(1);
    expect(stderr).toContain("No key is named cj.");
    expect(stderr).toContain("Known: laptop, laptop, ci.");
    expect(stderr).toContain("Did you mean ci?");
    expect(stderr).not.toContain("no keys yet");
    expect(cli.requests.every(({ method }) => method === "GET")).toBe(true);
  });

  test("of a name that two keys have says their ids, and takes one of them by a beginning of it", async () => {
    await using cli = await cliWith();
    const { code, stderr } = await cli.run(["keys", "revoke", "laptop"]);
    expect(code).toBe(1);
    expect(stderr.split("\n")).toEqual([
      "error: 2 keys are named laptop.",
      "  why:  key_01ka (member, made 2 h ago)",
      "  why:  key_01kb (member, made 2 h ago)",
      "  next: Write the id of the one you mean, or a beginning of it that only it has.",
      "",
    ]);
    expect((await cli.run(["keys", "revoke", "key_01kb"])).stdout).toBe("Key laptop (key_01kb) is revoked.\n");
    expect((await cli.run(["keys", "revoke", "02"])).stdout).toBe("Key ci (key_02aa) is revoked.\n");
    expect((await cli.run(["keys", "revoke", "key_01k"])).stderr).toContain("stands for 2 keys");
    expect(cli.requests.filter(({ method }) => method === "DELETE").map(({ url }) => url)).toEqual([
      "/api/keys/key_01kb",
      "/api/keys/key_02aa",
    ]);
  });

  test("of a key that is revoked already says so", async () => {
    await using cli = await cliWith();
    expect((await cli.run(["keys", "revoke", "old"])).stderr).toContain("Key old (key_03aa) is revoked already.");
  });

  test("of anything where there are none says that", async () => {
    await using cli = await cliWith([]);
    expect((await cli.run(["keys", "revoke", "laptop"])).stderr).toContain("There are no keys yet.");
  });
});

describe("engines add", () => {
  const words = ["engines", "add", "local", "--url", "http://localhost:8000/v1", "--model", "qwen3"];
  const engine = (price: unknown) => ({ name: "local", kind: "openai", urls: ["u"], model: "qwen3", price });

  test("without a price is refused before anything is added: no call to it would be let through", async () => {
    await using cli = await testCli(() => page([]));
    const { code, stderr } = await cli.run(words);
    expect(code).toBe(2);
    expect(stderr).toContain("The engine local has no price.");
    expect(stderr).toContain("--price-in 0.10 --price-out 0.40");
    expect(cli.requests.every(({ method }) => method === "GET")).toBe(true);
  });

  test("of one that has a price keeps it", async () => {
    await using cli = await testCli(({ method }) =>
      method === "GET" ? page([engine({ currency: "USD" })]) : { body: engine({ currency: "USD" }) },
    );
    expect((await cli.run(words)).code).toBe(0);
    expect(cli.requests.at(-1)!.body).toEqual({ name: "local", urls: ["http://localhost:8000/v1"], model: "qwen3" });
  });
});

describe("call", () => {
  test.each([
    ["an empty argument", ["call", ""], ""],
    ["white space", ["call", "  "], ""],
    ["nothing on stdin", ["call"], ""],
    ["a terminal and no argument", ["call"], Object.assign(Readable.from([]), { isTTY: true })],
  ])("with %s sends nothing: exit 2", async (_name, words, stdin) => {
    await using cli = await testCli();
    const { code, stderr } = await cli.run(words, undefined, stdin);
    expect(code).toBe(2);
    expect(stderr).toContain("There is no text to ask.");
    expect(stderr).toContain("npx lineshaft call");
    expect(cli.requests).toEqual([]);
  });

  test("leaves sampling to the model unless told otherwise", async () => {
    await using cli = await testCli(({ url }) =>
      url === "/v1/models"
        ? { body: { data: [{ id: "m" }] } }
        : { body: { choices: [{ message: { content: "hi" } }] } },
    );
    await cli.run(["call"], undefined, "Hello");
    expect(cli.requests.at(-1)!.body).toEqual({ model: "m", messages: [{ role: "user", content: "Hello" }] });
    await cli.run(["call", "Hello", "--temperature", "0"]);
    expect(cli.requests.at(-1)!.body).toMatchObject({ temperature: 0 });
  });
});

describe("a call that names no model", () => {
  const serving = (data: unknown[]) =>
    testCli(({ url }) =>
      url === "/v1/models" ? { body: { data } } : { body: { choices: [{ message: { content: "hi" } }] } },
    );

  test("asks the first that writes text, whatever else is served", async () => {
    await using cli = await serving([
      { id: "vectors", kind: "embed" },
      { id: "writer", kind: "generate" },
    ]);
    await cli.run(["call", "Hello"]);
    expect(cli.requests.at(-1)!.body).toMatchObject({ model: "writer" });
  });

  test("is refused where no model writes text", async () => {
    await using cli = await serving([{ id: "vectors", kind: "embed" }]);
    const { code, stderr } = await cli.run(["call", "Hello"]);
    expect(code).toBe(1);
    expect(stderr).toContain("No model that writes text is served.");
  });
});

describe("an instance that does not answer", () => {
  test("is told with the address that was tried and where it was read", async () => {
    await using cli = await testCli();
    new Home(cli.home).prepare();
    new Home(cli.home).writeMain({ pid: 1, address: "http://127.0.0.1:1", postgresPort: null });
    writeFileSync(join(cli.home, "credentials"), JSON.stringify({ address: "http://127.0.0.1:1", key: "k" }));
    const { code, stderr } = await cli.run(["status"], {});
    expect(code).toBe(1);
    expect(stderr).toContain("does not answer at http://127.0.0.1:1");
    expect(stderr).toContain(`The address is from ${join(cli.home, "run", "main.json")}.`);
    expect(stderr).toContain(`No Lineshaft runs on ${cli.home}: start it with \`npm start\``);
    const elsewhere = await cli.run(["status"], { LINESHAFT_URL: "http://127.0.0.1:9", LINESHAFT_KEY: "k" });
    expect(elsewhere.stderr).toContain("The address is from LINESHAFT_URL.");
  });

  test("whose address is no address is wrong use", async () => {
    await using cli = await testCli();
    const { code, stderr } = await cli.run(["status"], { LINESHAFT_URL: "localhost:4070", LINESHAFT_KEY: "k" });
    expect(code).toBe(2);
    expect(stderr).toContain("Write it like http://localhost:4070");
  });
});

describe("status", () => {
  const status = {
    version: "0.1.0",
    address: "http://localhost:4070",
    started_at: "2026-01-01T22:00:00Z",
    healthy: false,
    troubles: ["Engine local does not answer: nothing listens there."],
    alarms: [],
    components: [],
    deployments: [
      { name: "small", engine: "embedded", state: "ready", endpoints: [] },
      { name: "local", engine: "openai", state: "down", endpoints: [] },
    ],
    storage: { state: "ok", free_bytes: 1e9 },
    memory: { total_rss_bytes: 1 },
    organisation: { id: "org_1", name: "default", currency: "USD" },
    project: { id: "prj_1", name: "default" },
    role: "owner",
  };

  test("with an engine down is degraded, says which, and exits 1", async () => {
    await using cli = await testCli(() => ({ body: status }));
    const { code, stdout } = await cli.run(["status"]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^state +degraded\n/);
    expect(stdout).toContain("Engine local does not answer: nothing listens there.");
  });

  test("with nothing that can be called is not healthy", async () => {
    const down = { ...status, deployments: [status.deployments[1]] };
    await using cli = await testCli(() => ({ body: down }));
    expect((await cli.run(["status"])).stdout).toMatch(/^state +not healthy\n/);
  });
});

describe("agents", () => {
  const agent = {
    id: "agt_1",
    name: "inspector",
    version: 2,
    model: "small",
    created_at: "2026-01-01T22:00:00Z",
    runs: { total: 20, running: 1, waiting: 2, failed: 3 },
    outcomes: { passed: 9, failed: 1 },
  };
  const detail = {
    ...agent,
    manifest: {
      description: "Looks at machines.",
      limits: { steps: 50, seconds: 3600 },
      tools: [{ server: "plant", url: "http://localhost:4080/mcp", allow: { read_machine: {} } }],
      outcome: { contract: "right-order", price: "0.05" },
    },
    versions: [{ number: 2, id: "agv_2", created_at: "2026-01-01T22:00:00Z" }],
  };

  test("are listed and shown", async () => {
    await using cli = await testCli(({ url }) => (url.startsWith("/api/agents?") ? page([agent]) : { body: detail }));
    expect((await cli.run(["agents", "list"])).stdout).toMatchInlineSnapshot(`
      "NAME       VERSION  MODEL  RUNS  RUNNING  WAITING  FAILED   PASSED  MADE
      inspector        2  small    20        1        2       3  9 of 10  2 h ago
      "
    `);
    const { stdout } = await cli.run(["agents", "show", "inspector"]);
    for (const words of [
      "Looks at machines.",
      "read_machine of plant (http://localhost:4080/mcp)",
      "right-order, 0.05",
    ])
      expect(stdout).toContain(words);
  });

  test("that do not exist are answered with the nearest, wherever they are named", async () => {
    await using cli = await testCli(({ url, method }) => {
      if (method === "POST" || url.startsWith("/api/agents/")) return undefined;
      if (url.startsWith("/api/agents")) return page([agent]);
      return url.startsWith("/api/bill") ? { body: { lines: [], suspense: [] } } : page([]);
    });
    for (const words of [
      ["agents", "show", "inspectr"],
      ["runs", "list", "--agent", "inspectr"],
      ["bill", "--agent", "inspectr"],
      ["run", "inspectr", "--input", "-"],
    ]) {
      const { code, stderr } = await cli.run(words, undefined, "{}");
      expect(code, words.join(" ")).toBe(1);
      expect(stderr, words.join(" ")).toContain("Did you mean inspector?");
    }
  });

  test("none at all is said with how to make one", async () => {
    await using cli = await testCli(() => page([]));
    expect((await cli.run(["agents", "list"])).stderr).toContain("npx lineshaft deploy");
  });
});

describe("run --follow", () => {
  const run: Run = {
    id: "run_1",
    agent: "inspector",
    version: 1,
    status: "running",
    error_code: null,
    error_message: null,
    wakes_at: null,
    steps: 0,
    prompt_tokens: 0,
    cached_tokens: 0,
    output_tokens: 0,
    cost_nano: "0",
    currency: "USD",
    outcome: null,
    created_at: "2026-01-02T00:00:00Z",
    started_at: "2026-01-02T00:00:00Z",
    ended_at: null,
  };
  const away: Run = {
    ...run,
    status: "waiting",
    error_code: "tool_unreachable",
    error_message: "The tool server 'plant' at http://localhost:4080/mcp cannot be used: nothing listens there.",
    wakes_at: "2026-01-02T00:00:04Z",
  };

  test("says what the run waits for and when it is tried again, as it happens", async () => {
    const done: Run = { ...run, status: "completed", ended_at: "2026-01-02T00:00:10Z" };
    let looks = 0;
    await using cli = await testCli(({ method, url }) => {
      if (url === "/api/events") return { events: [run, away, run, done].map((one) => ({ type: "run", run: one })) };
      if (method === "POST") return { body: run };
      return { body: { ...(looks++ === 0 ? run : done), input: {}, output: null, step_list: [] } };
    });
    const { code, stderr } = await cli.run(["run", "inspector", "--input", "-", "--follow"], undefined, "{}");
    expect(code).toBe(0);
    expect(stderr).toContain(
      "waits: The tool server 'plant' at http://localhost:4080/mcp cannot be used: nothing listens there. Next try in 4.0 s.",
    );
  });

  test("of a wait for a person says where to look", () => {
    expect(waitLine({ ...away, wakes_at: null }, 1, testNow)).toMatch(/^waits for a person: .* runs show run_1$/);
    expect(waitLine(away, 3, testNow)).toContain("(failed 3 times)");
  });
});

describe("wrong use is told as such", () => {
  test("an unknown verb with where to look, and the name alone with what there is", async () => {
    await using cli = await testCli();
    const unknown = await cli.run(["nonsense"]);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain("next: Add --help");
    const bare = await cli.run([]);
    expect(bare.code).toBe(0);
    expect(bare.stdout).toContain("Commands:");
  });

  test("a key that is not known is told where it was read, not of headers", async () => {
    const hint = "Send `authorization: Bearer KEY`.";
    const error = { code: "invalid_api_key", message: `The key is not known. ${hint}`, hint, request_id: "req_1" };
    await using cli = await testCli(() => ({ status: 401, body: { error } }));
    const { stderr } = await cli.run(["status"]);
    expect(stderr).toContain("error: The key is not known.\n");
    expect(stderr).toContain("LINESHAFT_KEY");
    expect(stderr).not.toContain("authorization");
  });

  test.each([
    ["an answer of no tokens", ["call", "hi", "--max-tokens", "0"], "whole number"],
    ["a folder that is not there", ["deploy", "nope"], "no such file or folder"],
    ["a limit that is no number", ["runs", "list", "--limit", "ten"], "whole number"],
    ["a state that does not exist", ["runs", "list", "--status", "done"], "Allowed choices are queued, running"],
  ])("%s", async (_name, words, told) => {
    await using cli = await testCli(() => page([]));
    const { code, stderr } = await cli.run(words);
    expect(code).toBe(2);
    expect(stderr).toContain(told);
    expect(cli.requests).toEqual([]);
  });

  test("an error's next step is printed once, where the API's message says it too", async () => {
    const error = { code: "owner_only", message: "Only an owner may. Ask one.", hint: "Ask one.", request_id: "req_7" };
    await using cli = await testCli(() => ({ status: 403, body: { error } }));
    expect((await cli.run(["keys", "list"])).stderr).toBe(
      "error: Only an owner may.\n  why:  The server answered 403 (owner_only), request req_7.\n  next: Ask one.\n",
    );
  });
});

describe("a port that fetch refuses", () => {
  test("is refused at the start, with one that is not", () => {
    expect(() => readSettings({ LINESHAFT_PORT: "4190" })).toThrow(
      expect.objectContaining({ exitCode: 2, message: expect.stringMatching(/must not be 4190: .* 4191 is open/) }),
    );
    expect(openPortAfter(6665)).toBe(6670);
    expect(readSettings({ LINESHAFT_PORT: "4191" }).LINESHAFT_PORT).toBe(4191);
  });

  test("is each of those that this fetch refuses", async () => {
    const { badPorts } = createRequire(import.meta.url)("undici/lib/web/fetch/constants.js") as { badPorts: string[] };
    expect([...blockedPorts].filter((port) => port !== 0).toSorted((a, b) => a - b)).toEqual(badPorts.map(Number));
    for (const port of badPorts)
      await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toMatchObject({ message: "fetch failed" });
  });
});

test("a context beyond what the model was trained for is told with both numbers", () => {
  const spec = { name: "small", contextTokens: 16_384 } as Parameters<typeof contextNotes>[0];
  expect(contextNotes(spec, 8_192)).toEqual([expect.stringMatching(/16,384 tokens.*trained for 8,192/)]);
  expect(contextNotes({ ...spec, contextTokens: 8_192 }, 8_192)).toEqual([]);
  expect(contextNotes({ ...spec, contextTokens: undefined }, 8_192)).toEqual([]);
});
