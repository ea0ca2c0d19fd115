// The registry: publishing makes an immutable version of a manifest, pinned to everything that it depends on at that moment: the
// model's name, each tool's definition, the verifier's source. The same again is the same version.
import { createHash } from "node:crypto";
import { kindOf } from "../engines/index.ts";
import { deploymentNames } from "../fleet/index.ts";
import { parseMoney } from "../ledger/index.ts";
import { getBlob, newId, putBlob, type Queryable } from "../store/index.ts";
import type { Dependencies } from "./dependencies.ts";
import type { Problem } from "../fleet/manifest.ts";
import { agentManifestError, StepError } from "./errors.ts";
import { limits } from "./limits.ts";
import { checkManifest, parseManifest } from "./manifest.ts";
import type { Manifest } from "./manifestSchema.ts";
import { valueDefect } from "./tools/definition.ts";
import type { ToolDefinition, ToolKind, ToolServerAddress } from "./tools/types.ts";
import type { PinnedTool, Published } from "./types.ts";
import { checksOf, schemaDefect } from "./validation.ts";

interface Publisher {
  organisation: string;
  project: string;
  currency: string;
}

interface Deployed {
  id: string;
  name: string;
  version: number;
  created: boolean;
}

/** Checks, pins and stores a manifest (YAML text or object) with the files it names. Throws ManifestError or StepError. */
export async function publish(
  dependencies: Pick<Dependencies, "db" | "ledger" | "engines">,
  tools: ToolKind,
  publisher: Publisher,
  request: { manifest: unknown; files?: Record<string, string> | undefined },
): Promise<Deployed> {
  const { db, ledger } = dependencies;
  const manifest =
    typeof request.manifest === "string"
      ? await parseManifest(request.manifest, "agent.yaml", publisher.organisation)
      : checkManifest(request.manifest);
  const unkept = valueDefect(manifest, true);
  if (unkept !== undefined) throw agentManifestError([{ path: "manifest", message: `cannot be kept: ${unkept}` }]);
  const model = manifest.model ?? (await embeddedModel(dependencies, publisher));
  const problems = await contentProblems(manifest, publisher, request.files ?? {});
  if (problems.length > 0) throw agentManifestError(problems);
  const published: Published = { manifest: { ...manifest, model }, tools: await pinTools(manifest, tools, publisher) };
  const toolDefect = valueDefect(published.tools, true);
  if (toolDefect !== undefined)
    throw new StepError("tool_unusable", `A tool's definition at its MCP server cannot be kept: ${toolDefect}`);
  if (manifest.outcome) {
    const { id, version, file } = manifest.outcome.verifier;
    const source = request.files![file]!;
    const hash = createHash("sha256").update(source).digest("hex");
    published.evidence = "independent";
    published.verifier = { ref: await putBlob(db, publisher.project, source), name: `${id}@${version} sha256:${hash}` };
  }
  const ref = await putBlob(db, publisher.project, storedForm(published));
  const deployed = await store(db, publisher, manifest.name, ref);
  if (manifest.budget)
    await ledger.setBudget({
      organisation: publisher.organisation,
      scope: { kind: "agent", id: deployed.id },
      currency: publisher.currency,
      limitNano: parseMoney(manifest.budget.limit),
      period: manifest.budget.period,
    });
  return deployed;
}

/**
 * A version as it is stored. MCP, the first kind of tool, is left out, so that an unchanged manifest that was published before there were
 * kinds is still the same version (`Runs.published` fills it in).
 */
function storedForm(published: Published): unknown {
  return {
    ...published,
    tools: published.tools.map(({ kind, ...tool }) => (kind === "mcp" ? tool : { kind, ...tool })),
  };
}

/** A model that writes text: of the oldest deployment of this machine, else of whatever is served. */
async function embeddedModel(
  { db, engines }: Pick<Dependencies, "db" | "engines">,
  publisher: Publisher,
): Promise<string> {
  const served = engines.list(publisher.organisation).filter(({ facts }) => kindOf(facts?.capabilities) === "generate");
  const oldest = (await deploymentNames(db)).find((deployment) => served.some(({ name }) => name === deployment));
  const model = oldest ?? (served.find(({ kind }) => kind === "embedded") ?? served[0])?.name;
  if (model) return model;
  throw agentManifestError([{ path: "model", message: "is left out, and no engine serves a model now" }]);
}

/** What only the instance knows: the currency, the files that came along, schemas that a validator must accept. */
async function contentProblems(
  manifest: Manifest,
  publisher: Publisher,
  files: Record<string, string>,
): Promise<Problem[]> {
  const { organisation } = publisher;
  const check = checksOf(organisation);
  const problems: Problem[] = [];
  for (const path of ["input", "output"] as const) {
    const defect = manifest[path] && (await schemaDefect(manifest[path], organisation));
    if (defect) problems.push({ path, message: `cannot be used as a JSON schema: ${defect}` });
  }
  if (manifest.output && problems.length === 0)
    for (const [index, example] of manifest.examples.entries()) {
      const problem = await check(manifest.output, example.output);
      if (problem) problems.push({ path: `examples.${index}.output`, message: `does not fit 'output': ${problem}` });
    }
  return [...problems, ...outcomeProblems(manifest, publisher, files)];
}

function* outcomeProblems(manifest: Manifest, publisher: Publisher, files: Record<string, string>): Generator<Problem> {
  const { outcome } = manifest;
  if (!outcome) return;
  if (outcome.currency !== undefined && outcome.currency !== publisher.currency)
    yield {
      path: "outcome.currency",
      message: `is ${outcome.currency}, but the organisation's ledger is in ${publisher.currency}`,
    };
  const source = files[outcome.verifier.file];
  if (source === undefined)
    yield { path: "outcome.verifier.file", message: `names ${outcome.verifier.file}, which was not sent along` };
  else if (Buffer.byteLength(source) > limits.verifierBytes)
    yield { path: "outcome.verifier.file", message: `is larger than ${limits.verifierBytes / 1024} KiB` };
}

async function pinTools(
  manifest: Manifest,
  client: ToolKind,
  { organisation, project }: Publisher,
): Promise<PinnedTool[]> {
  const problems: Problem[] = [];
  const pinned: PinnedTool[] = [];
  for (const [index, server] of manifest.tools.entries()) {
    const address: ToolServerAddress = {
      kind: "mcp",
      url: server.url,
      server: server.server,
      ...(server.secret !== undefined && { secret: server.secret }),
    };
    const listed = await client.list(address, project).catch((error: unknown) => {
      if (!(error instanceof StepError) || !error.code.startsWith("secret_")) throw error;
      problems.push({ path: `tools.${index}.secret`, message: `cannot be used. ${error.message}` });
    });
    if (!listed) continue;
    const defined = new Map(listed.map((tool) => [tool.name, tool]));
    const find = (name: string, path: string): ToolDefinition | undefined => {
      const tool = defined.get(name);
      if (!tool)
        problems.push({
          path,
          message: `'${name}' is not a tool of ${server.url} (it has ${[...defined.keys()].join(", ") || "none"})`,
        });
      return tool;
    };
    for (const [name, allowed] of Object.entries(server.allow)) {
      const path = `tools.${index}.allow.${name}`;
      const tool = find(name, path);
      const lookup = allowed.lookup === undefined ? undefined : find(allowed.lookup, `${path}.lookup`);
      if (!tool || (allowed.lookup !== undefined && !lookup)) continue;
      // The server chose it: it is compiled once now, so that no run meets a schema that cannot be used.
      const defect = await schemaDefect(tool.inputSchema, organisation);
      if (defect)
        problems.push({ path, message: `has an input schema at ${server.url} that cannot be used: ${defect}` });
      pinned.push({
        ...address,
        name,
        server: server.server,
        description: tool.description,
        inputSchema: tool.inputSchema,
        hash: tool.hash(),
        effect: allowed.effect,
        acceptsKey: allowed.accepts_key,
        ...(lookup && { lookup: { name: lookup.name, hash: lookup.hash() } }),
        seconds: allowed.seconds,
        slow: allowed.slow,
      });
    }
  }
  if (problems.length > 0) throw agentManifestError(problems);
  return pinned;
}

/** The newest version of an agent of a project, by the agent's name or id; undefined where there is none. */
export async function newestVersion(
  db: Queryable,
  project: string,
  nameOrId: string,
): Promise<{ agent: string; version: string; published: Published } | undefined> {
  const { rows } = await db.query<{ agent: string; version: string; manifest_ref: string }>(
    `select a.id as agent, v.id as version, v.manifest_ref from agents a join agent_versions v on v.agent = a.id
     where a.project = $1 and (a.name = $2 or a.id = $2) order by v.number desc limit 1`,
    [project, nameOrId],
  );
  if (!rows[0]) return undefined;
  const { agent, version, manifest_ref: ref } = rows[0];
  return { agent, version, published: (await getBlob(db, project, ref)) as Published };
}

async function store(
  db: Dependencies["db"],
  publisher: Publisher,
  name: string,
  manifestRef: string,
): Promise<Deployed> {
  return db.transaction(async (client) => {
    await client.query(
      "insert into agents (id, organisation, project, name) values ($1, $2, $3, $4) on conflict (project, name) do nothing",
      [newId("agt"), publisher.organisation, publisher.project, name],
    );
    // The agent's row is locked, so that two publishers at once get two numbers.
    const agent = await client.query<{ id: string }>(
      "select id from agents where project = $1 and name = $2 for update",
      [publisher.project, name],
    );
    const id = agent.rows[0]!.id;
    const newest = await client.query<{ number: number; manifest_ref: string }>(
      "select number, manifest_ref from agent_versions where agent = $1 order by number desc limit 1",
      [id],
    );
    const last = newest.rows[0];
    if (last?.manifest_ref === manifestRef) return { id, name, version: last.number, created: false };
    const version = (last?.number ?? 0) + 1;
    await client.query("insert into agent_versions (id, agent, number, manifest_ref) values ($1, $2, $3, $4)", [
      ...[newId("agv"), id, version, manifestRef],
    ]);
    return { id, name, version, created: true };
  });
}
