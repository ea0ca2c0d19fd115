import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { makeContext } from "./context.ts";
import { bytes, duration, money, percent, relativeTime, table } from "./format.ts";
import { downloadLine, readyJson, readyLines } from "./up.ts";
import { Home } from "../fleet/index.ts";
import { buildProgram } from "./main.ts";
import { uniqueByPrefix } from "./nearest.ts";
import { readSettings } from "../instance/settings.ts";
import { Terminal } from "./terminal.ts";
import { testCli, testNow } from "./testing.ts";

const status = {
  version: "0.1.0",
  address: "http://localhost:4070",
  started_at: "2026-01-01T22:00:00Z",
  healthy: true,
  troubles: [],
  alarms: [],
  components: [
    { name: "main", state: "ready", pid: 10, restarts: 0, rss_bytes: 180_000_000, started_at: "2026-01-01T22:00:00Z" },
    { name: "postgres", state: "restarting", restarts: 2, last_error: "It was ended by SIGKILL." },
  ],
  deployments: [
    {
      name: "smollm2",
      engine: "embedded",
      state: "ready",
      placement: "two-tier",
      disk: { used_bytes: 0, budget_bytes: 2_000_000_000, files: 0 },
      endpoints: [
        {
          endpoint: "worker-0",
          role: "both",
          state: "ready",
          threads: 1,
          context_tokens: 4096,
          slots: 8,
          running: 1,
          waiting: 0,
          memory: { rss_bytes: 1_100_000_000, model_bytes: 97_000_000, kv_bytes: 858_000_000 },
        },
      ],
    },
  ],
  memory: { total_rss_bytes: 1_600_000_000 },
  storage: { state: "ok", free_bytes: 24_000_000_000 },
  organisation: { id: "org_1", name: "default", currency: "USD" },
  project: { id: "prj_1", name: "default" },
  role: "owner",
};

describe("every command", () => {
  const program = buildProgram(makeContext(new Terminal({ env: {} }), new AbortController().signal));
  const leaves = (command: Command, path: string[] = []): [string, Command][] =>
    command.commands.length === 0
      ? [[path.join(" "), command]]
      : command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
  const all = leaves(program);

  test("that INTERFACE names is there", () => {
    const names = all.map(([name]) => name);
    for (const name of [
      ...["up", "status", "doctor", "models", "call", "deploy", "run", "bill"],
      ...["engines add", "engines list", "engines remove", "keys create", "keys list", "keys revoke"],
      ...["budgets set", "budgets list", "budgets remove", "runs list", "runs show", "runs stop"],
    ])
      expect(names).toContain(name);
  });

  test.each(all)("%s has --json and help with two examples", (name, command) => {
    let help = "";
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    expect(help).toContain("--json");
    const examples = help.split("Examples:")[1]!.trim().split("\n");
    expect(examples.length).toBeGreaterThanOrEqual(2);
    for (const example of examples) expect(example).toMatch(/npx lineshaft|npm start/);
    expect(examples.every((example) => example.includes(name) || name === "up")).toBe(true);
  });
});

describe("status", () => {
  test("shows what runs, aligned, and exits 0 when healthy", async () => {
    await using cli = await testCli(({ url }) => (url === "/api/status" ? { body: status } : undefined));
    const { code, stdout } = await cli.run(["status"]);
    expect(code).toBe(0);
    expect(stdout).toMatchInlineSnapshot(`
      "state     healthy
      address   http://localhost:4070
      version   0.1.0
      up since  2 h ago
      tenant    default / default (owner, USD)
      disk      24 GB free under the home
      memory    1.6 GB resident in the whole process tree

      COMPONENT  STATE       PID  RESTARTS  MEMORY  STARTED
      main       ready        10         0  180 MB  2 h ago
      postgres   restarting    -         2       -  -

      postgres ended before: It was ended by SIGKILL.

      MODEL    ENGINE    STATE  ENDPOINTS  PLACEMENT     KV ON DISK  NOTE
      smollm2  embedded  ready          1  two-tier   0 B of 2.0 GB

      ENDPOINT  MODEL    ROLE  STATE  RUNNING  WAITING  CONTEXT     RSS      KV  CACHED  COMPUTED  NOTE
      worker-0  smollm2  both  ready   1 of 8        0    4,096  1.1 GB  858 MB       -         -
      "
    `);
    expect(cli.requests[0]).toMatchObject({ authorization: "Bearer lsk_test" });
  });

  test("says which coding agents a model's context holds", async () => {
    const clients = [
      { name: "Claude Code", needs_tokens: 14_500, fits: false },
      { name: "OpenCode", needs_tokens: 10_500, fits: true },
    ];
    const of = (some: typeof clients) => ({
      body: { ...status, deployments: [{ ...status.deployments[0], clients: some }] },
    });
    await using cli = await testCli(() => of(clients));
    expect((await cli.run(["status"])).stdout).toContain(
      "The context of smollm2 holds OpenCode; too short for Claude Code (needs 14,500 tokens).",
    );
    await using none = await testCli(() => of(clients.slice(0, 1)));
    expect((await none.run(["status"])).stdout).toContain(
      "The context of smollm2 is too short for Claude Code (needs 14,500 tokens).",
    );
  });

  test("exits 1 when something is wrong, and gives programs the whole answer", async () => {
    await using cli = await testCli(() => ({ body: { ...status, healthy: false } }));
    const { code, stdout } = await cli.run(["status", "--json"]);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({ ...status, healthy: false });
  });
});

describe("errors are three short lines", () => {
  test("when nothing was ever started", async () => {
    await using cli = await testCli();
    const { code, stdout, stderr } = await cli.run(["status"], {});
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.split("\n")).toEqual([
      "error: No Lineshaft was found.",
      expect.stringMatching(/^ {2}why: {2}.* has never been started on/),
      expect.stringMatching(/^ {2}next: Start one with/),
      "",
    ]);
  });

  test("when no instance answers at the address", async () => {
    await using cli = await testCli();
    const { code, stderr } = await cli.run(["status"], { LINESHAFT_URL: "http://127.0.0.1:9", LINESHAFT_KEY: "k" });
    expect(code).toBe(1);
    expect(stderr).toMatch(/does not answer at http:\/\/127.0.0.1:9/);
  });

  test("when the credentials are gone", async () => {
    await using cli = await testCli();
    const { stderr } = await cli.run(["status"], { LINESHAFT_URL: "http://127.0.0.1:9" });
    expect(stderr).toContain("keys create");
  });

  test("when the API refuses, in its own words", async () => {
    const error = { code: "owner_only", message: "Only an owner may.", hint: "Ask one.", request_id: "req_7" };
    await using cli = await testCli(() => ({ status: 403, body: { error } }));
    const { code, stderr } = await cli.run(["keys", "list"]);
    expect(code).toBe(1);
    expect(stderr).toBe(
      "error: Only an owner may.\n  why:  The server answered 403 (owner_only), request req_7.\n  next: Ask one.\n",
    );
  });

  test("a stack only with LINESHAFT_DEBUG=1", async () => {
    await using cli = await testCli();
    expect((await cli.run(["status"], {})).stderr).not.toContain("    at ");
    expect((await cli.run(["status"], { LINESHAFT_DEBUG: "1" })).stderr).toContain("    at ");
  });

  test.each([
    ["an unknown command", ["statu"], "Did you mean status?"],
    ["an unknown option", ["status", "--jsn"], "Did you mean --json?"],
    ["a missing option", ["budgets", "set", "project"], "--limit"],
    ["an amount that is none", ["budgets", "set", "project", "--limit", "five"], "--limit cannot be read"],
    ["a scope that is none", ["budgets", "set", "projct", "--limit", "5"], "Did you mean project?"],
    ["input that is not there", ["run", "a", "--input", "/nonexistent.json"], "cannot be read"],
    ["a time that is none", ["bill", "--from", "yesterday-ish"], "is not a time"],
    [
      "half a price",
      ["engines", "add", "x", "--url", "http://a", "--model", "m", "--price-in", "1"],
      "both of its sides",
    ],
  ])("%s is wrong use: exit 2", async (_name, words, told) => {
    await using cli = await testCli(() => ({ body: status }));
    const { code, stdout, stderr } = await cli.run(words);
    expect(stderr).toContain(told);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });
});

describe("names", () => {
  test("an unknown engine is answered with the nearest", async () => {
    await using cli = await testCli(() => ({ body: { data: [{ name: "vllm-large" }], next_cursor: null } }));
    const { code, stderr } = await cli.run(["engines", "remove", "vllm-lrge"]);
    expect(code).toBe(1);
    expect(stderr).toContain("Did you mean vllm-large?");
  });

  test("a unique beginning of an id is enough, with or without its kind", () => {
    const ids = ["run_01ka", "run_01kb", "run_02xx"];
    expect(uniqueByPrefix("run", "run_02", ids, "l")).toBe("run_02xx");
    expect(uniqueByPrefix("run", "01kb", ids, "l")).toBe("run_01kb");
    expect(() => uniqueByPrefix("run", "run_01k", ids, "l")).toThrow("stands for 2 runs");
    expect(() => uniqueByPrefix("run", "run_03", ids, "npx lineshaft runs list")).toThrow("No run is named run_03");
  });
});

describe("keys", () => {
  test("create prints the secret alone to stdout", async () => {
    await using cli = await testCli(({ method, url }) =>
      method === "POST" && url === "/api/keys"
        ? { body: { id: "key_1", name: "laptop", role: "member", project: "prj_1", secret: "lsk_secret" } }
        : undefined,
    );
    const { stdout, stderr } = await cli.run(["keys", "create", "laptop"]);
    expect(stdout).toBe("lsk_secret\n");
    expect(stderr).toContain("shown this once");
    expect(cli.requests[0]!.body).toEqual({ name: "laptop", role: "member" });
  });
});

describe("budgets", () => {
  test("set resolves the project's name and sends nano-units", async () => {
    const budget = {
      id: "bud_1",
      scope: { kind: "project", id: "prj_1", name: "default" },
      currency: "USD",
      period: "month",
      limit_nano: "5000000000",
      spent_nano: "0",
      leased_nano: "0",
      lost_nano: "0",
      pending: false,
      ended_at: null,
      left_nano: "5000000000",
      resets_at: null,
    };
    await using cli = await testCli(({ url }) => ({ body: url === "/api/status" ? status : budget }));
    const { stdout } = await cli.run(["budgets", "set", "project", "default", "--limit", "5.00", "--period", "month"]);
    expect(stdout).toBe("Budget of project default: 5.00 USD a month, 5.00 USD left.\n");
    expect(cli.requests.at(-1)).toMatchObject({
      method: "PUT",
      body: { scope: { kind: "project", id: "prj_1" }, limit_nano: "5000000000", period: "month" },
    });
  });
});

describe("up", () => {
  test.each([
    [{ LINESHAFT_PORT: "99999" }, "LINESHAFT_PORT must be from 1 to 65535"],
    [{ LINESHAFT_CURRENCY: "euros" }, "LINESHAFT_CURRENCY must be three capital letters"],
    [{ DATABASE_URL: "mysql://a" }, "DATABASE_URL must be an address"],
    [{ RESTATE_INGRESS_URL: "http://r:8080" }, "RESTATE_ADMIN_URL and RESTATE_INGRESS_URL belong together"],
    [
      { RESTATE_INGRESS_URL: "http://r:8080", RESTATE_ADMIN_URL: "http://r:9070" },
      "LINESHAFT_ADVERTISED_URL is needed",
    ],
    [{ LINESHAFT_ADVERTISED_URL: "http://here:4070" }, "LINESHAFT_ADVERTISED_URL needs a port of its own"],
  ])("refuses %o by name", (env, words) => {
    expect(() => readSettings(env)).toThrow(words);
  });

  test("takes empty variables as unset", () => {
    expect(readSettings({ LINESHAFT_PORT: "", DATABASE_URL: "" })).toMatchObject({ LINESHAFT_PORT: 4070 });
  });

  test("a database URL with a password is never shown", () => {
    const failure = () => readSettings({ DATABASE_URL: "mysql://user:hunter2@db/x" });
    expect(failure).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("hunter2"), why: undefined }),
    );
  });

  test("says address, key, console and three lines to try", () => {
    const lines = readyLines(
      {
        address: "http://localhost:4070",
        key: { state: "new" as const, secret: "lsk_1" },
        consoleUrl: "http://localhost:4070/console",
        served: [
          { name: "m", model: { name: "m", path: "/m.gguf", licence: "Apache-2.0", bytes: 98_362_432 }, workers: 2 },
        ],
        home: new Home("/srv/lineshaft"),
        gateways: 4,
      },
      4_200,
    ).join("\n");
    for (const words of [
      "ready in 4.2 s",
      "http://localhost:4070, served by 4 processes",
      "lsk_1",
      "/console",
      "98 MB, Apache-2.0), 2 workers",
      "curl http",
      "npx lineshaft call",
    ])
      expect(lines).toContain(words);
  });

  test("shows the owner key at the first start only; later ones say where it is kept", () => {
    const instance = { address: "http://localhost:4070", consoleUrl: "http://localhost:4070/console" };
    const home = new Home("/srv/lineshaft");
    const later = { ...instance, home, served: [], gateways: 1, key: { state: "kept" as const } };
    expect(readyJson(later)).toEqual({
      address: instance.address,
      console: instance.consoleUrl,
      credentials: "/srv/lineshaft/credentials",
    });
    expect(readyLines(later, 1).join("\n")).toMatch(/key {6}kept in \/srv\/lineshaft\/credentials\n/);
    expect(readyJson({ ...later, key: { state: "new", secret: "lsk_1" } })).toMatchObject({ key: "lsk_1" });
    expect(readyJson({ ...later, key: { state: "gone" } })).toMatchObject({ credentials: null });
  });

  test("a download shows how much, how fast, how long still", () => {
    expect(
      downloadLine({
        what: "Downloading x",
        doneBytes: 31e6,
        totalBytes: 98e6,
        bytesPerSecond: 12e6,
        secondsLeft: 5.6,
      }),
    ).toBe("Downloading x: 31 MB of 98 MB, 12 MB/s, 5.6 s left");
    expect(downloadLine({ what: "Fetching y by pip", doneBytes: 0 })).toBe("Fetching y by pip");
  });
});

describe("a terminal", () => {
  const written = (env: NodeJS.ProcessEnv, isTTY: boolean) => {
    const lines: string[] = [];
    let now = 0;
    const stream = { write: (text: string) => lines.push(text), isTTY };
    const terminal = new Terminal({ stdout: stream, stderr: stream, env, now: () => now });
    return { lines, terminal, wait: (ms: number) => (now += ms) };
  };

  test("has colours only where a person looks and has not said no", () => {
    expect(written({}, true).terminal.colours("stdout").red("x")).toBe("\u001b[31mx\u001b[39m");
    expect(written({ NO_COLOR: "1" }, true).terminal.colours("stdout").red("x")).toBe("x");
    expect(written({}, false).terminal.colours("stdout").red("x")).toBe("x");
  });

  test("shows progress from two seconds on: one line rewritten, or plain lines every three seconds", () => {
    const person = written({}, true);
    const line = person.terminal.progress();
    line.show("early");
    person.wait(2500);
    line.show("working");
    line.done();
    expect(person.lines).toEqual(["\r\u001b[Kworking", "\r\u001b[K"]);

    const log = written({}, false);
    const plain = log.terminal.progress();
    for (let i = 0; i < 7; i++) {
      log.wait(1000);
      plain.show(`second ${i + 1}`);
    }
    expect(log.lines).toEqual(["second 2\n", "second 5\n"]);
  });
});

describe("facts for people", () => {
  test.each([
    [money("5000000000", "USD"), "5.00 USD"],
    [money("-23200", "USD"), "-23.2 µUSD"],
    [bytes(0), "0 B"],
    [bytes(98_362_432), "98 MB"],
    [bytes(1_095_000_000), "1.1 GB"],
    [duration(310), "310 ms"],
    [duration(4_249), "4.2 s"],
    [duration(124_000), "2 min 4 s"],
    [percent(0.975), "98 %"],
    [percent(null), "-"],
    [relativeTime("2026-01-01T21:00:00Z", testNow), "3 h ago"],
    [relativeTime("2026-01-10T00:00:00Z", testNow), "in 8 d"],
    [relativeTime("2026-01-02T00:00:00Z", testNow), "just now"],
  ])("%s", (written, expected) => {
    expect(written).toBe(expected);
  });

  test("tables align, numbers right, and nothing has no heading", () => {
    const columns = [
      { title: "name", value: (row: { name: string; size: number }) => row.name },
      { title: "size", value: (row: { name: string; size: number }) => String(row.size), right: true },
    ];
    expect(
      table(
        [
          { name: "a", size: 5 },
          { name: "long", size: 12345 },
        ],
        columns,
      ),
    ).toEqual(["NAME   SIZE", "a         5", "long  12345"]);
    expect(table([], columns)).toEqual([]);
  });
});
