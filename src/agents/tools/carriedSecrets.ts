// Homes of earlier versions: a tool's secret was the instance's (LINESHAFT_SECRET_<NAME>, or the file LINESHAFT_HOME/secrets/<name>)
// and went to whatever address a manifest named. Secrets now belong to a project and to hosts. What published agents use is carried
// over once, at the first start: the secret becomes the project's, for the hosts of the addresses that the agent was published
// with. After that those variables and files are not read any more.
//
// Only for the organisation of the instance's operator, whose secrets they are. Agents of other organisations that name one are
// reported, and their owners set secrets of their own.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { hostOf } from "../../egress/index.ts";
import { secretNamePattern, secretValuePattern } from "../../contract/index.ts";
import type { Secrets } from "../../governance/index.ts";
import { getBlob, type Database } from "../../store/index.ts";
import type { Published } from "../types.ts";

export interface CarriedSecret {
  name: string;
  project: string;
  organisation: string;
  hosts: string[];
  /** Where its value was: a variable's name or a file's path. */
  from: string;
  /** Why it could not be carried over; undefined when it was. */
  refused?: string;
}

interface Used {
  organisation: string;
  project: string;
  name: string;
  urls: Set<string>;
}

/**
 * Carries over what published agents use and answers what became of each secret. Does nothing at later starts. Never throws for a single
 * secret.
 */
export async function carrySecrets(options: {
  db: Database;
  secrets: Secrets;
  /** Of the operator. */
  organisation: string;
  env: NodeJS.ProcessEnv;
  /** LINESHAFT_HOME/secrets. */
  folder: string;
}): Promise<CarriedSecret[]> {
  const { db, secrets, organisation, env, folder } = options;
  const carried: CarriedSecret[] = [];
  if (!(await hasInstanceSecrets(env, folder))) return carried;
  for (const used of await usedSecrets(db)) {
    if (await secrets.known(used)) continue;
    const found = await instanceSecret(used.name, env, folder);
    if (!found) continue;
    const hosts = [...used.urls].flatMap((url) => hostOf(url) ?? []);
    const one = { name: used.name, project: used.project, organisation: used.organisation, hosts, from: found.from };
    const refused =
      used.organisation !== organisation
        ? "it belonged to the instance, not to that organisation"
        : hosts.length === 0
          ? "the agent's address names no host"
          : !secretValuePattern.test(found.value)
            ? "its value holds characters that no HTTP header can carry"
            : undefined;
    if (refused === undefined)
      await secrets.set({
        organisation: used.organisation,
        project: used.project,
        name: used.name,
        hosts,
        value: found.value,
        createdBy: undefined,
      });
    carried.push({ ...one, ...(refused !== undefined && { refused }) });
  }
  return carried;
}

/** What the newest version of each agent uses, and the versions of runs that have not ended. */
async function usedSecrets(db: Database): Promise<Used[]> {
  const { rows } = await db.query<{ organisation: string; project: string; ref: string }>(
    `select a.organisation, a.project, v.manifest_ref as ref
     from agent_versions v join agents a on a.id = v.agent
     where v.number = (select max(number) from agent_versions n where n.agent = a.id)
       or exists (select from runs r where r.version = v.id and r.status in ('queued', 'running', 'waiting'))`,
  );
  const used = new Map<string, Used>();
  for (const { organisation, project, ref } of rows)
    for (const { secret, url } of ((await getBlob(db, project, ref)) as Published).tools) {
      if (secret === undefined) continue;
      const id = `${project}/${secret}`;
      const one = used.get(id) ?? { organisation, project, name: secret, urls: new Set() };
      one.urls.add(url);
      used.set(id, one);
    }
  return [...used.values()];
}

async function hasInstanceSecrets(env: NodeJS.ProcessEnv, folder: string): Promise<boolean> {
  if (Object.keys(env).some((name) => name.startsWith("LINESHAFT_SECRET_"))) return true;
  return (await readdir(folder).catch(() => [])).length > 0;
}

async function instanceSecret(
  name: string,
  env: NodeJS.ProcessEnv,
  folder: string,
): Promise<{ value: string; from: string } | undefined> {
  // A name is part of a path below.
  if (!secretNamePattern.test(name)) return undefined;
  const variable = `LINESHAFT_SECRET_${name.toUpperCase().replaceAll("-", "_")}`;
  const given = env[variable];
  if (given) return { value: given, from: variable };
  const path = join(folder, name);
  const value = await readFile(path, "utf8").then(
    (text) => text.trim(),
    () => "",
  );
  return value === "" ? undefined : { value, from: path };
}
