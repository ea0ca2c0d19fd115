// The engines that are stored in the database, as this process registers them: at its start, and again when another process has added,
// changed or removed one. engines.ts is how users add and remove them.
import { createEngine, findPreset } from "../engines/index.ts";
import type { AddedKind, EndpointBounds, EngineRegistry, RegisteredEndpoint } from "../engines/index.ts";
import { LineshaftError } from "../errors/index.ts";
import type { Database, Queryable } from "../store/index.ts";
import type { Alarms, Logger } from "../telemetry/index.ts";
import { KeyEnvs } from "./keyEnvs.ts";

/** An engine that users have added. */
export interface EngineRecord {
  name: string;
  organisation: string;
  kind: AddedKind;
  /** One for each endpoint. */
  urls: string[];
  /** What the engine calls the model. */
  model: string;
  /** The environment variable that holds the provider's key. */
  keyEnv: string | null;
  /** Fields beyond those of its software that it may be sent. */
  allowFields: string[];
  /** Name of the provider whose quirks it has; null: by its address. */
  preset: string | null;
  bounds: EndpointBounds;
  createdAt: Date;
  /** Addresses that an engine of an earlier version keeps its key for. */
  carriedKeyUrls: string[] | null;
}

export interface EngineRow {
  [column: string]: unknown;
  name: string;
  organisation: string;
  kind: AddedKind;
  urls: string[];
  model: string;
  key_env: string | null;
  allow_fields: string[];
  preset: string | null;
  connect_ms: number | null;
  first_token_ms: number | null;
  idle_ms: number | null;
  concurrency: number | null;
  created_at: Date;
  carried_key_urls: string[] | null;
}

export const engineOf = (row: EngineRow): EngineRecord => ({
  name: row.name,
  organisation: row.organisation,
  kind: row.kind,
  urls: row.urls,
  model: row.model,
  keyEnv: row.key_env,
  allowFields: row.allow_fields,
  preset: row.preset,
  bounds: {
    connectMs: row.connect_ms ?? undefined,
    firstTokenMs: row.first_token_ms ?? undefined,
    idleMs: row.idle_ms ?? undefined,
    concurrency: row.concurrency ?? undefined,
  },
  createdAt: row.created_at,
  carriedKeyUrls: row.carried_key_urls,
});

/** What registering an engine needs. */
interface Registering {
  db: Database;
  engines: EngineRegistry;
  log: Logger;
  alarms: Pick<Alarms, "raise" | "clear" | "own">;
}

interface WantedKey {
  keyEnv: string | null | undefined;
  /** Where it would be sent. */
  urls: string[];
  carried?: string[] | null;
}

/** The provider's key. Throws 400 when the variable may not be sent to the engine's addresses or is not set. */
export function providerKey({ keyEnv, urls, carried }: WantedKey): string | undefined {
  if (keyEnv === null || keyEnv === undefined) return undefined;
  const refused = (message: string, hint: string) =>
    new LineshaftError({ code: "key_env_refused", message, param: "key_env", hint });
  const refusal = KeyEnvs.of(process.env).refusal(keyEnv, urls, carried ?? []);
  if (refusal) throw refused(`${refusal.message} ${refusal.hint}`, refusal.hint);
  const value = process.env[keyEnv];
  if (!value)
    throw refused(
      `The environment variable ${keyEnv} is not set where Lineshaft runs.`,
      "Set it, start Lineshaft again, then add the engine.",
    );
  if (/[\r\n\0]/.test(value))
    throw refused(`${keyEnv} holds a line break, so it is no key.`, "Set it without the line break.");
  return value;
}

const keyRefusedCode = "engine_key_refused";

/** The alarm of an engine whose key may not be sent. Every process that has registered the engine raises and clears its own. */
export const keyRefused = (name: string, organisation: string) => ({
  code: keyRefusedCode,
  subject: name,
  organisation,
});

/** The provider that an engine was added as; undefined: by its address. */
export const presetOf = ({ preset }: Pick<EngineRecord, "preset">) => findPreset(preset ?? "");

/** NAME for the only address, else NAME-0, NAME-1 and so on. */
export function endpointNames(name: string, urls: string[]): string[] {
  return urls.length === 1 ? [name] : urls.map((_, index) => `${name}-${index}`);
}

/** What decides how an engine is reached: a stored engine with another text is registered anew. */
export function revisionOf(engine: EngineRecord): string {
  const { organisation, kind, urls, model, keyEnv, allowFields, carriedKeyUrls, preset, bounds } = engine;
  return JSON.stringify([organisation, kind, urls, model, keyEnv, allowFields, carriedKeyUrls, preset, bounds]);
}

/** Registers the engines that are stored in the database. Resolves when each of them was asked what it is, or did not answer. */
export async function restoreEngines(rooms: Registering): Promise<RegisteredEndpoint[]> {
  const stored = await storedEngines(rooms.db);
  const registered = stored.map((engine) => register(rooms, engine));
  await Promise.all(registered.map(({ asked }) => asked));
  return registered.flatMap(({ endpoints }) => endpoints);
}

/**
 * Brings the registry to what is stored, after another process has added, changed or removed an engine. An engine that is registered as
 * it is stored stays as it is, with the calls that it serves. Engines that are new here are asked what they are in the background, so that
 * one that does not answer delays no other change.
 */
export async function syncEngines(rooms: Registering): Promise<void> {
  const { db, engines, alarms } = rooms;
  const stored = await storedEngines(db);
  for (const { code, subject, organisation } of alarms.own()) {
    if (code !== keyRefusedCode) continue;
    const isStored = stored.some((engine) => engine.name === subject && engine.organisation === organisation);
    if (!isStored) alarms.clear({ code, subject, organisation });
  }
  const names = new Set(stored.map(({ name }) => name));
  const registeredNames = engines.list().flatMap((one) => (one.revision === undefined ? [] : [one.name]));
  for (const name of new Set(registeredNames)) if (!names.has(name)) engines.remove(name);
  const changed = stored.filter((engine) => {
    const revision = revisionOf(engine);
    const registered = engines.list().filter(({ name }) => name === engine.name);
    return registered.length === 0 || registered.some((one) => one.revision !== revision);
  });
  for (const engine of changed) {
    engines.remove(engine.name);
    register(rooms, engine);
  }
}

async function storedEngines(db: Queryable): Promise<EngineRecord[]> {
  const { rows } = await db.query<EngineRow>("select * from engines order by created_at");
  return rows.map(engineOf);
}

/**
 * Registers a stored engine. One that does not answer is registered as well, since it may come back; one whose key may not be sent is
 * called without it, with an alarm. `asked` resolves when each endpoint was asked what it is, and never rejects.
 */
function register(
  { engines, log, alarms }: Registering,
  stored: EngineRecord,
): { endpoints: RegisteredEndpoint[]; asked: Promise<void[]> } {
  let key: string | undefined;
  let problem: string | undefined;
  const { name, kind, urls, model, organisation, bounds } = stored;
  const preset = presetOf(stored);
  try {
    key = providerKey({ keyEnv: stored.keyEnv, urls, carried: stored.carriedKeyUrls });
    alarms.clear(keyRefused(name, organisation));
  } catch (error) {
    problem = (error as Error).message;
    alarms.raise({
      ...keyRefused(name, organisation),
      clears: true,
      message: `Engine ${name} is called without its key. ${problem}`,
    });
  }
  const endpoints = endpointNames(name, urls).map((endpoint, index) =>
    engines.add(name, createEngine(kind, { url: urls[index]!, model, key, preset, bounds }), {
      kind,
      model,
      organisation,
      endpoint,
      bounds,
      allowFields: stored.allowFields,
      revision: revisionOf(stored),
    }),
  );
  const asked = Promise.all(
    endpoints.map(async (endpoint) => {
      const unavailable = await engines.probe(endpoint).then(
        () => problem,
        (error: Error) => problem ?? error.message,
      );
      if (unavailable === undefined) return;
      engines.lost(endpoint, unavailable);
      log.warn({ engine: endpoint.endpoint, problem: unavailable }, "an engine is not available");
    }),
  );
  return { endpoints, asked };
}
