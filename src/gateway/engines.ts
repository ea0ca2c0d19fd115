// Engines that users add: checked, asked what they are, stored, registered; storedEngines.ts registers them again at a start and at other
// processes. One name and one price may have several addresses: each is an endpoint of its own, and calls are placed among them.
//
// What is stored is the name of an environment variable, never a provider's key. Which variables may be named, and where each one
// goes, is in keyEnvs.ts.
import { LineshaftError } from "../errors/index.ts";
import {
  createEngine,
  EngineError,
  engineBaseUrl,
  kindAt,
  knownField,
  neverAllowed,
  presets,
  versionOf,
} from "../engines/index.ts";
import type { AddedKind, EndpointBounds, EndpointFacts, Engine, EngineRegistry } from "../engines/index.ts";
import type { Principal } from "../governance/types.ts";
import type { Ledger, RateCard } from "../ledger/index.ts";
import type { Database, Queryable } from "../store/index.ts";
import type { Alarms, Logger } from "../telemetry/index.ts";
import { checkCurrency, pricesOfKind, setPrices, type NewPrices } from "./prices.ts";
import { nearest } from "../errors/index.ts";
import {
  endpointNames,
  engineOf,
  keyRefused,
  presetOf,
  providerKey,
  revisionOf,
  type EngineRecord,
  type EngineRow,
} from "./storedEngines.ts";

interface NewEngine {
  name: string;
  /** The API that it is asked by; that of the provider at its first address where undefined. */
  kind: AddedKind | undefined;
  /** One for each endpoint; all of them must serve the model. */
  urls: string[];
  model: string;
  keyEnv: string | undefined;
  /** Fields beyond those of its software that it may be sent. */
  allowFields: string[];
  preset: string | undefined;
  bounds: EndpointBounds;
  price: NewPrices | undefined;
}

interface Rooms {
  db: Database;
  engines: EngineRegistry;
  ledger: Ledger;
  log: Logger;
  alarms: Pick<Alarms, "raise" | "clear">;
}

/** Engines that users have added to an organisation, by name. */
export async function listEngines(db: Queryable, organisation: string): Promise<EngineRecord[]> {
  const { rows } = await db.query<EngineRow>("select * from engines where organisation = $1 order by name", [
    organisation,
  ]);
  return rows.map(engineOf);
}

/**
 * Adds an engine, or replaces the caller's own of that name. The caller has seen to it that no deployment has the name. Throws
 * LineshaftError or EngineError that names what is wrong.
 */
export async function addEngine(rooms: Rooms, principal: Principal, wanted: NewEngine): Promise<EngineRecord> {
  const { db, engines, alarms } = rooms;
  await checkName(rooms, principal, wanted);
  if (wanted.price) checkCurrency(principal, wanted.price, "price.currency");
  refuseFields(wanted.allowFields);
  const { bounds } = wanted;
  const preset = presetOf({ preset: wanted.preset ?? null });
  if (wanted.preset !== undefined && !preset) throw presetUnknown(wanted.preset);
  const kind = wanted.kind ?? preset?.kind ?? kindAt(engineBaseUrl(wanted.urls[0]!));
  const urls = wanted.urls.map((url) => engineBaseUrl(url, versionOf(kind)));
  const carried = await carriedUrls(db, principal, wanted);
  const key = providerKey({ keyEnv: wanted.keyEnv, urls, carried });
  const endpoints = await Promise.all(
    endpointNames(wanted.name, urls).map(async (endpoint, index) => {
      const engine = createEngine(kind, { url: urls[index]!, model: wanted.model, key, preset, bounds });
      return { endpoint, engine, facts: await probed(engine, urls, index, wanted.model) };
    }),
  );
  const { rows } = await db.query<EngineRow>(
    `insert into engines (name, organisation, kind, urls, model, key_env, allow_fields, carried_key_urls, preset,
       connect_ms, first_token_ms, idle_ms, concurrency)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
     on conflict (name) do update set kind = excluded.kind, urls = excluded.urls, model = excluded.model, key_env = excluded.key_env,
       allow_fields = excluded.allow_fields, carried_key_urls = excluded.carried_key_urls, preset = excluded.preset,
       connect_ms = excluded.connect_ms, first_token_ms = excluded.first_token_ms, idle_ms = excluded.idle_ms,
       concurrency = excluded.concurrency
     where engines.organisation = excluded.organisation returning *`,
    [
      wanted.name,
      principal.organisation,
      kind,
      urls,
      wanted.model,
      wanted.keyEnv ?? null,
      wanted.allowFields,
      carried,
      wanted.preset ?? null,
      bounds.connectMs ?? null,
      bounds.firstTokenMs ?? null,
      bounds.idleMs ?? null,
      bounds.concurrency ?? null,
    ],
  );
  if (!rows[0]) throw nameTaken(wanted.name);
  alarms.clear(keyRefused(wanted.name, principal.organisation));
  if (wanted.price) await setPrices(rooms, principal, wanted.name, pricesOfKind(kind, wanted.price));
  // Endpoints of the same name are replaced in their place. If the names differ, all are removed and added within this tick.
  const before = engines.list().filter(({ name }) => name === wanted.name);
  if (before.some(({ endpoint }) => !endpoints.some((one) => one.endpoint === endpoint))) engines.remove(wanted.name);
  for (const { endpoint, engine, facts } of endpoints)
    engines.add(wanted.name, engine, {
      kind,
      model: wanted.model,
      organisation: principal.organisation,
      endpoint,
      facts,
      bounds,
      allowFields: wanted.allowFields,
      revision: revisionOf(engineOf(rows[0])),
    });
  return engineOf(rows[0]);
}

/** Throws a 400 for a field that no engine is ever sent, whatever its owner says. */
function refuseFields(fields: string[]): void {
  for (const field of fields) {
    const why = neverAllowed(field);
    if (why === undefined) continue;
    const reason = {
      platform: "it is set by the platform, and would let one tenant act on another's calls",
      limit: "it is a second limit of output beside max_tokens, the one that is priced",
      model: "it would change which model answers, or what a call costs",
      code: "it holds or names code that the engine would run",
      work: "it makes the engine compute what no hold counts",
      spelling: `it is ${knownField(field)} in other letters, and engines differ in how they read that`,
    }[why];
    throw new LineshaftError({
      code: "field_never_allowed",
      param: "allow_fields",
      message: `No engine is ever sent ${field}: ${reason}. Leave it out of the allowed fields.`,
    });
  }
}

/** Addresses that an engine of an earlier version keeps its key for, while it is changed without naming another variable. */
async function carriedUrls(db: Database, principal: Principal, { name, keyEnv }: NewEngine): Promise<string[] | null> {
  const { rows } = await db.query<Pick<EngineRow, "carried_key_urls">>(
    "select carried_key_urls from engines where name = $1 and organisation = $2 and key_env = $3",
    [name, principal.organisation, keyEnv ?? null],
  );
  return rows[0]?.carried_key_urls ?? null;
}

/** What the engine at an address says of itself. Throws LineshaftError, which names the address. */
async function probed(engine: Engine, urls: string[], index: number, model: string): Promise<EndpointFacts> {
  try {
    const facts = await engine.probe();
    if (facts.models.length > 0 && !facts.models.includes(model)) throw notServed(model, facts.models);
    return facts;
  } catch (error) {
    const isOurs = error instanceof EngineError || (error instanceof LineshaftError && urls.length > 1);
    if (!isOurs) throw error;
    const { status, code, hint } = error;
    throw new LineshaftError({
      status,
      code,
      hint,
      param: `urls.${index}`,
      cause: error,
      message: `${urls[index]}: ${error.message}`,
    });
  }
}

async function checkName({ db, engines }: Rooms, principal: Principal, { name, urls }: NewEngine): Promise<void> {
  // Names that workers get, whether they run now or not.
  if (/^worker-\d+$/.test(name)) throw nameTaken(name);
  const names = endpointNames(name, urls);
  const taken = engines
    .list()
    .some((one) => (one.name === name ? one.organisation !== principal.organisation : names.includes(one.endpoint)));
  if (taken) throw nameTaken(name);
  const { rows } = await db.query("select 1 from engines where name = $1 and organisation <> $2", [
    name,
    principal.organisation,
  ]);
  if (rows[0]) throw nameTaken(name);
}

/** A name is given once: callers write it as `model`. */
export function nameTaken(name: string): LineshaftError {
  return new LineshaftError({
    code: "name_taken",
    message: `The name ${name} is taken.`,
    param: "name",
    hint: "Choose another name; callers write it as `model`.",
  });
}

function presetUnknown(name: string): LineshaftError {
  const names = presets.map((preset) => preset.name);
  const near = nearest(name, names);
  return new LineshaftError({
    code: "invalid_request",
    status: 400,
    message: `No provider is known by the name ${name}.`,
    param: "preset",
    hint: `${near === undefined ? "" : `Did you mean ${near}? `}Known are ${names.join(", ")}.`,
  });
}

function notServed(model: string, models: string[]): LineshaftError {
  const near = nearest(model, models);
  return new LineshaftError({
    status: 400,
    code: "engine_model_missing",
    message: `The engine answers, but does not serve ${model}.`,
    param: "model",
    hint: `${near === undefined ? "" : `Did you mean ${near}? `}It serves: ${models.slice(0, 20).join(", ")}.`,
  });
}

/** Removes an engine of the organisation; false where it has no such engine. Rate cards stay, because charges refer to them. */
export async function removeEngine(
  { db, engines, alarms }: Rooms,
  principal: Principal,
  name: string,
): Promise<boolean> {
  const { rowCount } = await db.query("delete from engines where name = $1 and organisation = $2", [
    name,
    principal.organisation,
  ]);
  if (rowCount === 0) return false;
  alarms.clear(keyRefused(name, principal.organisation));
  engines.remove(name);
  return true;
}

/** Current cards by model. */
export async function rateCards(
  ledger: Ledger,
  organisation: string,
  models: string[],
): Promise<Map<string, RateCard>> {
  const cards = await Promise.all(models.map((model) => ledger.currentRateCard(organisation, model)));
  return new Map(cards.flatMap((card) => (card ? [[card.model, card] as const] : [])));
}

/** True when an engine of this name is stored, whichever organisation added it. */
export async function hasEngine(db: Database, name: string): Promise<boolean> {
  const { rows } = await db.query("select 1 from engines where name = $1", [name]);
  return rows.length > 0;
}
