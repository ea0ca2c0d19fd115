// For tests of this room: a real Restate in a folder of its own, a tenant in a real database, the example's plant over real MCP,
// and a gateway whose answers are scripted, because here determinism is the point.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { generateMachines, type Readings } from "../../examples/maintenance-inspector/readings.ts";
import { startPlant, type Plant } from "../../examples/maintenance-inspector/server.ts";
import { chunkOf, EngineRegistry, type Engine, type RuntimeFact } from "../engines/index.ts";
import { OpenAPIHono } from "@hono/zod-openapi";
import type { ApiEnv } from "../api/helpers.ts";
import { Secrets } from "../governance/index.ts";
import { testPrincipal } from "../governance/testing.ts";
import type { CallAnswer, CallRecord, CallRequest, Message } from "../gateway/index.ts";
import { callRecords } from "../gateway/index.ts";
import { createLedger } from "../ledger/index.ts";
import { newId, Session, type Database } from "../store/index.ts";
import { createLogger, type AlarmRaised } from "../telemetry/index.ts";
import { createAgents, type Agents } from "./agents.ts";
import { restateCommand, type RestateCommand } from "./restate/server.ts";
import { readExample } from "./testing/states.ts";
import { makeTenant, type Tenant } from "./testing/tenant.ts";

interface RestateProcess extends AsyncDisposable {
  command: RestateCommand;
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Stops it, deletes its data, starts it again. */
  empty(): Promise<void>;
}

export async function startRestate(): Promise<RestateProcess> {
  const home = mkdtempSync(join(tmpdir(), "ls-restate-"));
  let child: ReturnType<typeof spawn> | undefined;
  // A test run that is killed must not leave a server behind.
  process.on("exit", () => child?.kill("SIGKILL"));
  const process_ = {
    command: restateCommand({ home }),
    async start() {
      this.command = restateCommand({ home });
      const { command, args, env, cwd, ready } = this.command;
      child = spawn(command, args, { env, cwd, stdio: "ignore" });
      await ready({ pid: child.pid! }, AbortSignal.timeout(120_000));
    },
    async kill() {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child!.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    },
    async empty() {
      await this.kill();
      rmSync(join(home, "restate"), { recursive: true, force: true });
      await this.start();
    },
    async [Symbol.asyncDispose]() {
      await this.kill();
      rmSync(home, { recursive: true, force: true });
    },
  };
  await process_.start();
  return process_;
}

type Reply = { content?: string; tool_calls?: unknown[]; finish_reason?: string };

/** A gateway that answers what `script` says; it records what it was asked. Throwing from the script is a failed call. */
class ScriptedGateway {
  readonly requests: CallRequest[] = [];
  readonly facts: RuntimeFact[] = [];
  script: (request: CallRequest) => Reply | Promise<Reply>;

  constructor(script: (request: CallRequest) => Reply | Promise<Reply>) {
    this.script = script;
  }

  async flushed(): Promise<void> {}

  tell(fact: RuntimeFact): void {
    this.facts.push(fact);
  }

  async call(request: CallRequest): Promise<CallAnswer> {
    this.requests.push(request);
    const { finish_reason = "stop", ...message } = await this.script(request);
    return {
      id: request.id ?? newId("call"),
      chunks: nothing(),
      whole: async () => chunkOf("chat", { choices: [{ message, finish_reason }] }),
      // The agents only wait for it.
      finished: Promise.resolve({} as CallRecord),
      headers: {},
      lastHeaders: () => ({}),
    };
  }
}

async function* nothing(): AsyncGenerator<never> {}

/** The conversation that a request holds, and what its last message says. */
export function askedOf({ asked }: CallRequest): {
  messages: readonly Message[];
  role: Message["role"] | "tool";
  text: string;
} {
  if (asked.prompt.kind !== "messages") throw new Error("an agent's call is a conversation");
  const { messages } = asked.prompt;
  const { role, parts } = messages.at(-1)!;
  const said = parts.flatMap((part) => (part.kind === "tool_result" ? part.parts : [part]));
  const text = said.map((part) => (part.kind === "text" ? part.text : "")).join("");
  return { messages, role: parts.some(({ kind }) => kind === "tool_result") ? "tool" : role, text };
}

/** Reads the panel's report and answers the mode it names: what the small model learns from its examples. */
function readThePanel(request: CallRequest): Reply {
  const asked = askedOf(request).text;
  const mode = /heat/.test(asked)
    ? "heat_dissipation"
    : /overstrain/.test(asked)
      ? "overstrain"
      : /power/.test(asked)
        ? "power"
        : /tool wear limit/.test(asked)
          ? "tool_wear"
          : "none";
  return { content: JSON.stringify({ failure_mode: mode, reason: "As the panel says." }) };
}

export interface House extends AsyncDisposable {
  db: Database;
  tenant: Tenant;
  agents: Agents;
  gateway: ScriptedGateway;
  plant: Plant;
  machines: Readings[];
  facts: RuntimeFact[];
  events: { type: string }[];
  /** Alarms that were raised. */
  alarms: AlarmRaised[];
  restate: RestateProcess;
  /** The next `times` calls of a tool do their work and never answer. */
  silence(tool: string, times: number): void;
  /** Stops the room and starts it anew. */
  restart(): Promise<void>;
  /** The API as the tenant's owner. */
  api(
    method: "GET" | "POST",
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
    /** Another caller than the tenant's owner. */
    as?: { key?: string; role?: "owner" | "member"; project?: string },
  ): Promise<{ status: number; json: any }>;
  /** Deploys the example against the plant; `change` edits the manifest. */
  deployExample(change?: (manifest: any) => void): Promise<any>;
  /** Resolves when a run has one of the statuses, with its detail. */
  until(run: string, ...statuses: string[]): Promise<any>;
}

export async function startHouse(db: Database, script = readThePanel as ScriptedGateway["script"]): Promise<House> {
  const restate = await startRestate();
  const tenant = await makeTenant(db);
  const folder = mkdtempSync(join(tmpdir(), "ls-plant-"));
  const machines = generateMachines(60, 7);
  const token = randomBytes(8).toString("hex");
  const silent = new Map<string, number>();
  const beforeAnswer = async (tool: string) => {
    const left = silent.get(tool) ?? 0;
    if (left === 0) return;
    silent.set(tool, left - 1);
    await new Promise(() => {});
  };
  const ordersPath = join(folder, "orders.jsonl");
  const plant = await startPlant({ port: 0, token, machines, ordersPath, beforeAnswer });
  const secrets = new Secrets({ db, key: Buffer.alloc(32, 1) });
  for (const name of ["maintenance-inspector", "plant"])
    await secrets.set({
      organisation: tenant.organisation,
      project: tenant.project,
      name,
      hosts: [new URL(plant.url).host],
      value: token,
      createdBy: tenant.key,
    });
  const gateway = new ScriptedGateway(script);
  const session = await Session.open({ url: db.url });
  const spools = mkdtempSync(join(tmpdir(), "ls-spools-"));
  const ledger = await createLedger({ db, session, spools, machine: "test", records: callRecords });
  const engines = new EngineRegistry();
  engines.add("scripted", scriptedEngine(), { kind: "embedded", model: "scripted" });
  const events: { type: string }[] = [];
  const alarms: AlarmRaised[] = [];
  const make = () =>
    createAgents({
      db,
      session,
      gateway,
      ledger,
      engines,
      log: createLogger({ level: process.env["LINESHAFT_LOG"] ?? "silent" }),
      events: { publish: (_organisation, event) => void events.push(event) },
      alarms: { raise: (alarm) => void alarms.push(alarm), clear: () => {} },
      secrets,
      restate: {
        ingress: { socket: restate.command.ingressSocket },
        admin: { socket: restate.command.adminSocket },
        embedded: true,
        identityKeys: [restate.command.identityKey],
      },
    });
  const house: House = {
    db,
    tenant,
    gateway,
    plant,
    machines,
    facts: gateway.facts,
    events,
    alarms,
    restate,
    agents: make(),
    silence: (tool, times) => void silent.set(tool, times),
    async restart() {
      await this.agents.stop();
      this.agents = make();
      await this.agents.start();
    },
    async api(method, path, body, headers = {}, as = {}) {
      const { agentRoutes } = await import("../api/routes/agents.ts");
      const app = new OpenAPIHono<ApiEnv>();
      app.use("*", async (c, next) => {
        c.set("principal", testPrincipal({ ...tenant, ...as }));
        c.set("requestId", "req_test");
        await next();
      });
      agentRoutes(this.agents.parts).serveOn(app);
      app.onError((error: any, c) =>
        c.json({ error: { code: error.code, message: error.message } }, error.status ?? 500),
      );
      const response = await app.request(path, {
        method,
        headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: response.status, json: await response.json() };
    },
    async deployExample(change) {
      const { manifest, files } = readExample();
      (manifest.tools[0] as { url: string }).url = plant.url;
      change?.(manifest);
      const answer = await this.api("POST", "/api/agents", { manifest, files });
      if (answer.status !== 200) throw new Error(JSON.stringify(answer.json));
      return answer.json;
    },
    async until(run, ...statuses) {
      for (let tries = 0; tries < 2_400; tries++) {
        const { json } = await this.api("GET", `/api/runs/${run}`);
        if (statuses.includes(json.status)) return json;
        await sleep(50);
      }
      throw new Error(
        `Run ${run} did not become ${statuses.join(" or ")}: ${JSON.stringify((await this.api("GET", `/api/runs/${run}`)).json)}`,
      );
    },
    async [Symbol.asyncDispose]() {
      await this.agents.stop();
      await ledger.close();
      rmSync(spools, { recursive: true, force: true });
      await session.close();
      await plant.close();
      await restate[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await house.agents.start();
  return house;
}

function scriptedEngine(): Engine {
  return {
    kind: "scripted",
    probe: async () => ({
      models: ["scripted"],
      capabilities: { tokenize: false, kvEvents: false },
    }),
    open: async () => {
      throw new Error("The scripted gateway answers before any engine.");
    },
    tokenize: async () => undefined,
    close: async () => {},
  };
}
