// An instance over HTTP with every kind of caller and one of each thing that a route is about.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkDeployment, type DeploymentState } from "../../../src/fleet/index.ts";
import { createAgents } from "../../../src/agents/index.ts";
import { agentRoutes, deploymentRoutes, deploymentVerbs, maintenanceRoutes } from "../../../src/api/index.ts";
import { hello, testGateway, type TestGateway } from "../../../src/api/testing.ts";
import { setModelRoute } from "../../../src/gateway/modelRoutes.ts";
import { Secrets, setLimit } from "../../../src/governance/index.ts";
import { putBlob } from "../../../src/store/index.ts";

/** In the order in which they ask: what an owner's request removes is there for all the others. */
export const callers = ["none", "revoked", "stranger", "otherMember", "otherOwner", "member", "owner"] as const;
export type Caller = (typeof callers)[number];

export interface World extends AsyncDisposable {
  at: TestGateway;
  /** Secrets of the callers' keys. */
  keys: Partial<Record<Caller, string>>;
  /** Ids of things that get their ids when they are made. */
  ids: { call: string; budget: string; key: string; limit: string };
  /** An effect of a run, whose end is not known. One that was settled stays so. */
  unknownEffect(key: string, run: "run_ours" | "run_owners"): Promise<void>;
  /** A budget that may be removed. */
  spareBudget(): Promise<void>;
  /** A route of a model's name that may be removed. */
  spareRoute(): Promise<void>;
  /** A limit on use that may be removed. */
  spareLimit(): Promise<void>;
  /** An alarm that may be dismissed. */
  spareAlarm(): void;
  /** A secret that may be removed. */
  spareSecret(): Promise<void>;
}

/** Makes it all: `owner` and `member` belong to one project, which has one agent, run, call, engine, budget, key and deployment. */
export async function authorisationWorld(): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), "ls-console-"));
  writeFileSync(join(folder, "reference.html"), "<title>API</title>");
  const at = await testGateway({
    openMetrics: false,
    consoleFolder: folder,
    routes: (parts) => {
      const nowhere = { socket: "/dev/null/restate" };
      const agents = createAgents({
        ...parts,
        restate: { ingress: nowhere, admin: nowhere, embedded: true, identityKeys: [] },
        events: { publish: () => {} },
        secrets: new Secrets({ db: parts.db, key: Buffer.alloc(32) }),
      });
      const deployment: DeploymentState = {
        name: "small",
        spec: checkDeployment({ kind: "Deployment", name: "small" }),
        source: "published",
        failure: undefined,
        trainedContextTokens: undefined,
        workers: [],
        children: new Map(),
        createdAt: new Date(),
        updatedAt: new Date(),
      };
      const deployments = {
        list: () => [deployment],
        publish: () => Promise.resolve({ changed: true }),
        remove: () => Promise.resolve(true),
      };
      return [
        agentRoutes(agents.parts),
        deploymentRoutes(deploymentVerbs(deployments)),
        maintenanceRoutes({ rebuild: () => Promise.resolve(0), resumeRestored: () => Promise.resolve(0) }),
      ];
    },
  });
  const { organisation, project } = at.principal;
  const keys: World["keys"] = { owner: at.key };
  const make = async (caller: Caller, role: "owner" | "member", where = { organisation, project }) => {
    const made = await at.identity.createKey({ ...where, name: caller, role });
    keys[caller] = made.secret;
    return made.key.id;
  };
  const other = await at.identity.ensureTenant({ organisation: "acme", project: "other", currency: "USD" });
  const rival = await at.identity.ensureTenant({ organisation: "rival", project: "default", currency: "USD" });
  const member = await make("member", "member");
  await make("otherMember", "member", { organisation, project: other.project.id });
  await make("otherOwner", "owner", { organisation, project: other.project.id });
  await make("stranger", "owner", { organisation: rival.organisation.id, project: rival.project.id });
  await at.identity.revokeKey(organisation, await make("revoked", "owner"));
  const spare = await at.identity.createKey({ organisation, project, name: "spare", role: "member" });
  await insertThings(at, member);
  await at.client({ key: keys.member! }).chat.completions.create(hello);
  await at.gateway.flushed();
  const calls = await at.db.query<{ id: string }>("select id from calls");
  const ids = { call: calls.rows[0]!.id, budget: "", key: spare.key.id, limit: "" };
  const secrets = new Secrets({ db: at.db, key: Buffer.alloc(32, 7) });
  const limit = { currency: "USD", limitNano: 10n ** 12n, period: "total" as const };
  return {
    at,
    keys,
    ids,
    async unknownEffect(key, run) {
      await at.db.query(
        `insert into effects (key, organisation, project, run, step, ordinal, tool, arguments_ref, state)
         values ($1, $2, $3, $4, 0, 0, 'order', 'x', 'unknown') on conflict (key) do nothing`,
        [key, organisation, project, run],
      );
    },
    async spareBudget() {
      const made = await at.ledger.setBudget({ organisation, scope: { kind: "project", id: project }, ...limit });
      ids.budget = made.id;
    },
    async spareLimit() {
      const scope = { kind: "project" as const, id: project, model: "spare" };
      ids.limit = (
        await setLimit(at.db, { organisation, scope, dimension: "requests_per_minute", amount: 1_000_000 })
      ).id;
    },
    async spareRoute() {
      await setModelRoute(at.db, organisation, { model: "spare-route", route: { serves: "scripted" } });
    },
    spareAlarm: () => at.alarms.raise({ code: "test", message: "Look.", organisation }),
    async spareSecret() {
      const value = "long-enough-for-a-secret";
      await secrets.set({ organisation, project, name: "ours", hosts: ["example.org"], value, createdBy: undefined });
    },
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

/** An agent with a run that the member's key started and one of the owner's key, an engine, and the agent's budget. */
async function insertThings({ db, ledger, principal }: TestGateway, member: string): Promise<void> {
  const { organisation, project } = principal;
  const manifest = { kind: "Agent", name: "inspector", instructions: "Look.", model: "scripted" };
  const published = await putBlob(db, project, { manifest, tools: [] });
  const input = await putBlob(db, project, { machine: "M-1" });
  await db.query("insert into agents (id, organisation, project, name) values ('agt_ours', $1, $2, 'inspector')", [
    organisation,
    project,
  ]);
  await db.query(
    "insert into agent_versions (id, agent, number, manifest_ref) values ('agv_ours', 'agt_ours', 1, $1)",
    [published],
  );
  for (const [run, key] of [
    ["run_ours", member],
    ["run_owners", principal.key],
  ])
    await db.query(
      `insert into runs (id, organisation, project, agent, version, key, input_ref, status)
       values ($1, $2, $3, 'agt_ours', 'agv_ours', $4, $5, 'waiting')`,
      [run, organisation, project, key, input],
    );
  await db.query(
    `insert into engines (name, organisation, kind, urls, model, allow_fields)
     values ('ours', $1, 'openai', '{http://inside.example:8000/v1}', 'm', '{}')`,
    [organisation],
  );
  const scope = { kind: "agent", id: "agt_ours" } as const;
  await ledger.setBudget({ organisation, scope, currency: "USD", limitNano: 10n ** 12n, period: "total" });
}
