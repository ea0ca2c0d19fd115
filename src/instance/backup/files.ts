// The files of a home that a backup holds: what keys are hashed with and secrets are sealed with, the credentials of the command line, and
// the spools. Models are fetched again, KV caches and Restate's folder are made again.
import { randomBytes } from "node:crypto";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { Home } from "../../fleet/index.ts";
import { spoolKeeping } from "../../ledger/index.ts";
import { BackupError, SpoolReader, type Part, type Stream } from "../../store/index.ts";

/** The part of secrets.json that the database depends on. Passwords of the embedded Postgres belong to its data folder. */
const keptSecrets = z.object({ keyHmac: z.string().length(64), secretsKey: z.string().length(64) });

const secretsName = "home/secrets.json";
const credentialsName = "home/credentials";
const spoolsName = "spools";
const spoolSuffix = ".spool";
/** Folder of spools that were restored and are not to be replayed. */
const asideName = "spools.restored";

/** Streams of the home's files. Of a spool that is being written, the records that are whole when its turn comes. */
export async function* homeStreams(home: Home): AsyncGenerator<Stream> {
  const { keyHmac, secretsKey } = home.secrets();
  yield { name: secretsName, bytes: bytesOf(JSON.stringify({ keyHmac, secretsKey })) };
  const credentials = home.credentials();
  if (credentials) yield { name: credentialsName, bytes: bytesOf(JSON.stringify(credentials)) };
  for (const name of spoolFiles(home)) {
    const end = await copiedTo(home.file(name));
    if (end > 0) yield { name, bytes: createReadStream(home.file(name), { end: end - 1 }) };
  }
}

/**
 * Bytes of a spool that are copied. Behind the last record a file has zeros that become records while it is read, and a copy with zeros
 * before a record would count as damaged. A file that cannot be read as a spool is copied whole. The answer is 0 where the file is gone.
 */
async function copiedTo(path: string): Promise<number> {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  try {
    await using reader = await SpoolReader.open(path);
    for (let more = true; more; more = (await reader.read()).length > 0) {
      while ((await reader.read()).length > 0);
      if ((await reader.ending()) !== "damaged") return reader.place.offset;
      // A record that was written between the two looks like one behind a gap, and can be read now.
    }
    return size;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? 0 : size;
  }
}

/** While this is disposed of later: spools that are posted are kept, because the database was read without their records. */
export function keepSpools(home: Home): Disposable {
  if (!existsSync(home.file(spoolsName))) return { [Symbol.dispose]: () => {} };
  const path = home.file(spoolsName, `${spoolKeeping.backingUp}.${randomBytes(6).toString("hex")}`);
  const touch = () => writeFileSync(path, "", { mode: 0o600 });
  touch();
  const timer = setInterval(touch, spoolKeeping.againMs).unref();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      rmSync(path, { force: true });
    },
  };
}

/**
 * Notes in the home when its newest whole backup was begun: spools that are posted are kept until a backup has them, and may go then
 * (ledger/posting).
 */
export function noteBackup(home: Home, startedAt: Date): void {
  if (!existsSync(home.file(spoolsName))) return;
  const path = home.file(spoolsName, spoolKeeping.backup);
  writeFileSync(`${path}.new`, `${JSON.stringify({ startedAt: startedAt.toISOString() })}\n`, {
    mode: 0o600,
    flush: true,
  });
  renameSync(`${path}.new`, path);
}

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

/** Paths of spools below the home: `spools/FOLDER/ID.spool`. */
function spoolFiles(home: Home): string[] {
  const root = home.file(spoolsName);
  if (!existsSync(root)) return [];
  return readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) =>
      readdirSync(join(root, name))
        .filter((file) => file.endsWith(spoolSuffix))
        .map((file) => `${spoolsName}/${name}/${file}`),
    )
    .toSorted();
}

/** What of the home is not in a backup, one sentence each. */
export function leftOutOf(home: Home): string[] {
  return [
    { name: "models", why: "models are fetched again" },
    { name: "kv", why: "KV caches are computed again, and are prompts" },
    { name: "restate", why: "runs go on from Postgres" },
    {
      name: "secrets",
      why: "files of secrets of an earlier version; set those that are still needed with `npx lineshaft secrets set`",
    },
  ]
    .filter(({ name }) => existsSync(home.file(name)) && readdirSync(home.file(name)).length > 0)
    .map(({ name, why }) => `${name}/: ${why}`);
}

/** Writes the files of a backup into an empty home, as their parts come. */
export class HomeFiles implements AsyncDisposable {
  readonly #home: Home;
  readonly #spools: string;
  readonly #small = new Map<string, Buffer>();
  readonly #folders = new Set<string>();
  #open: { stream: string; file: FileHandle } | undefined;
  /** Files of spools that were written. */
  spools = 0;

  /** `replay`: restored spools are put where the next start reads them; otherwise aside. */
  constructor(home: Home, { replay }: { replay: boolean }) {
    this.#home = home;
    this.#spools = replay ? spoolsName : asideName;
  }

  async write({ stream, bytes }: Part): Promise<void> {
    if (stream === secretsName || stream === credentialsName) {
      if (this.#small.has(stream)) throw new BackupError("backup_damaged", { why: `${stream} is too long.` });
      this.#small.set(stream, bytes);
      return;
    }
    const match = /^spools\/([\w-]+)\/([\w-]+\.spool)$/.exec(stream);
    if (!match) return;
    if (this.#open?.stream !== stream) {
      await this.#close();
      const path = this.#home.file(this.#spools, match[1]!, match[2]!);
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      this.#folders.add(dirname(path));
      this.#open = { stream, file: await open(path, "wx", 0o600) };
      this.spools++;
    }
    await this.#open!.file.writeFile(bytes);
  }

  /** Writes secrets and credentials; throws BackupError `backup_damaged` when there are no secrets. */
  async finish(): Promise<void> {
    await this.#close();
    const secrets = keptSecrets.safeParse(this.#json(secretsName));
    if (!secrets.success)
      throw new BackupError("backup_damaged", { why: "The home's secrets are not what Lineshaft writes." });
    this.#home.adoptSecrets(secrets.data);
    const credentials = z.object({ address: z.string(), key: z.string() }).safeParse(this.#json(credentialsName));
    if (credentials.success) this.#home.writeCredentials(credentials.data);
    if (this.#spools === spoolsName)
      for (const folder of this.#folders) writeFileSync(join(folder, "replay"), "", { mode: 0o600 });
  }

  #json(stream: string): unknown {
    try {
      return JSON.parse(this.#small.get(stream)?.toString("utf8") ?? "null");
    } catch {
      return undefined;
    }
  }

  async #close(): Promise<void> {
    await this.#open?.file.sync();
    await this.#open?.file.close();
    this.#open = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open?.file.close();
  }
}
