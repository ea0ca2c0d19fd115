// Engines that users add: checked, asked what they are, stored, registered; registered again at start.
//
// What is stored is the name of an environment variable, never a provider's key. Not every variable may be named: an engine's
// address is given by the same person, so a variable that holds a secret of this installation would be sent away.
import { createOpenAiEngine, EngineError, engineBaseUrl } from "../engines/index.ts";
import type { EngineRegistry, RegisteredEndpoint } from "../engines/index.ts";
import type { Principal } from "../governance/types.ts";
import type { Ledger, RateCard } from "../ledger/index.ts";
import type { Database } from "../store/index.ts";
import type { Logger } from "../telemetry/index.ts";
import { GatewayError } from "./errors.ts";
import { nearest } from "./nearest.ts";

export interface NewEngine {
  name: string;
  url: string;
  model: string;
  keyEnv: string | undefined;
  price:
    | { currency: string; inputNanoPerMillion: bigint; cachedNanoPerMillion: bigint; outputNanoPerMillion: bigint }
    | undefined;
}

export interface StoredEngine {
  [column: string]: unknown;
  name: string;
  organisation: string;
  kind: "openai";
  url: string;
  model: string;
  key_env: string | null;
  created_at: Date;
}

interface Rooms {
  db: Database;
  engines: EngineRegistry;
  ledger: Ledger;
  log: Logger;
}

const ownSecrets = /^(LINESHAFT|RESTATE|PG|NODE|NPM|AWS|GOOGLE|AZURE|GITHUB|CI)_|^DATABASE_URL$|^PATH$|^HOME$/i;

/** The provider's key. Throws 400 when the variable may not be named or is not set. */
export function providerKey(keyEnv: string | null | undefined): string | undefined {
  if (keyEnv === null || keyEnv === undefined) return undefined;
  const refused = (message: string, hint: string) =>
    new GatewayError({ status: 400, code: "key_env_refused", message, param: "key_env", hint });
  if (ownSecrets.test(keyEnv))
    throw refused(
      `${keyEnv} may hold a secret of this installation, which must not be sent to an engine.`,
      "Use a variable of its own, such as MY_PROVIDER_KEY.",
    );
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

/** Adds an engine, or replaces the caller's own of that name. Throws GatewayError or EngineError that names what is wrong. */
export async function addEngine(rooms: Rooms, principal: Principal, wanted: NewEngine): Promise<StoredEngine> {
  const { db, engines, ledger } = rooms;
  await checkName(rooms, principal, wanted.name);
  if (wanted.price && wanted.price.currency !== principal.currency)
    throw new GatewayError({
      status: 400,
      code: "currency_mismatch",
      message: `The organisation keeps its books in ${principal.currency}, the price is in ${wanted.price.currency}.`,
      param: "price.currency",
      hint: `Give the price in ${principal.currency}.`,
    });
  const url = engineBaseUrl(wanted.url);
  const engine = createOpenAiEngine({ url, model: wanted.model, key: providerKey(wanted.keyEnv) });
  const facts = await engine.probe();
  if (facts.models.length > 0 && !facts.models.includes(wanted.model)) throw notServed(wanted.model, facts.models);
  const { rows } = await db.query<StoredEngine>(
    `insert into engines (name, organisation, kind, url, model, key_env) values ($1, $2, 'openai', $3, $4, $5)
     on conflict (name) do update set url = excluded.url, model = excluded.model, key_env = excluded.key_env
     where engines.organisation = excluded.organisation returning *`,
    [wanted.name, principal.organisation, url, wanted.model, wanted.keyEnv ?? null],
  );
  if (!rows[0]) throw nameTaken(wanted.name);
  if (wanted.price)
    await ledger.setRateCard({ organisation: principal.organisation, model: wanted.name, ...wanted.price });
  engines.add(wanted.name, engine, {
    kind: "openai",
    model: wanted.model,
    organisation: principal.organisation,
    facts,
  });
  return rows[0];
}

async function checkName({ db, engines }: Rooms, principal: Principal, name: string): Promise<void> {
  if (engines.list().some((one) => one.name === name && one.organisation !== principal.organisation))
    throw nameTaken(name);
  const { rows } = await db.query("select 1 from engines where name = $1 and organisation <> $2", [
    name,
    principal.organisation,
  ]);
  if (rows[0]) throw nameTaken(name);
}

function nameTaken(name: string): GatewayError {
  return new GatewayError({
    status: 409,
    code: "name_taken",
    message: `The name ${name} is taken.`,
    param: "name",
    hint: "Choose another name; callers write it as `model`.",
  });
}

function notServed(model: string, models: string[]): GatewayError {
  const near = nearest(model, models);
  return new GatewayError({
    status: 400,
    code: "engine_model_missing",
    message: `The engine answers, but does not serve ${model}.`,
    param: "model",
    hint: `${near === undefined ? "" : `Did you mean ${near}? `}It serves: ${models.slice(0, 20).join(", ")}.`,
  });
}

/** Removes an engine of the organisation; false when there is none. Its rate cards stay: what was charged refers to them. */
export async function removeEngine({ db, engines }: Rooms, principal: Principal, name: string): Promise<boolean> {
  const { rowCount } = await db.query("delete from engines where name = $1 and organisation = $2", [
    name,
    principal.organisation,
  ]);
  if (rowCount === 0) return false;
  engines.remove(name);
  return true;
}

/** Registers what was stored. One that does not answer is registered all the same: it may come back. */
export async function restoreEngines({ db, engines, log }: Omit<Rooms, "ledger">): Promise<RegisteredEndpoint[]> {
  const { rows } = await db.query<StoredEngine>("select * from engines order by created_at");
  return Promise.all(
    rows.map(async (row) => {
      let key: string | undefined;
      let problem: string | undefined;
      try {
        key = providerKey(row.key_env);
      } catch (error) {
        problem = (error as Error).message;
      }
      const engine = createOpenAiEngine({ url: row.url, model: row.model, key });
      const endpoint = engines.add(row.name, engine, {
        kind: "openai",
        model: row.model,
        organisation: row.organisation,
      });
      await engines.probe(endpoint).catch((error: Error) => {
        problem ??= error.message;
      });
      if (problem !== undefined) {
        endpoint.up = false;
        endpoint.lastError = problem;
        log.warn({ engine: row.name, problem }, "an engine is not available");
      }
      return endpoint;
    }),
  );
}

/** Asks endpoints that were down, or never answered, again and again; answers how to stop it. */
export function keepProbing(engines: EngineRegistry, intervalMs = 10_000): () => void {
  const timer = setInterval(() => {
    for (const endpoint of engines.list()) if (endpoint.up !== true) void engines.probe(endpoint).catch(ignored);
  }, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** The registry remembers why. */
function ignored(error: unknown): void {
  if (!(error instanceof EngineError)) throw error;
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
