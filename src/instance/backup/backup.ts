// `lineshaft backup`: the database in one snapshot, then the home's files, into one file. Works while the instance serves and while it is
// stopped. It reads the database and the home directly, because the home's secrets never leave it by the API.
import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Home } from "../../fleet/index.ts";
import {
  entriesOf,
  readBackup,
  Snapshot,
  writeContainer,
  type ExternalUrls,
  type Manifest,
  type Stream,
} from "../../store/index.ts";
import { withDatabaseOf } from "./database.ts";
import { homeStreams, keepSpools, leftOutOf, noteBackup } from "./files.ts";
import { assertNotRestoring } from "./mark.ts";

/** Told of each stream when it begins, and of the bytes that were read so far. */
export type BackupProgress = (stream: string, bytes: number) => void;

interface BackupOptions {
  home: Home;
  env: ExternalUrls;
  file: string;
  passphrase: string | undefined;
  /** Of this Lineshaft. */
  version: string;
  signal: AbortSignal;
  onProgress?: BackupProgress;
}

/** A backup that was made. */
export interface Backup {
  file: string;
  bytes: number;
  manifest: Manifest;
}

/** Makes a backup. Throws BackupError, and leaves no file behind then. */
export async function makeBackup(options: BackupOptions): Promise<Backup> {
  const { home, env, passphrase, version, signal, onProgress = () => {} } = options;
  assertNotRestoring(home);
  const file = resolve(options.file);
  const now = new Date();
  using _spools = keepSpools(home);
  const label = { lineshaft: version, created_at: now.toISOString() };
  return await withDatabaseOf(home, env, async (url) => {
    await using snapshot = await Snapshot.open(url, signal);
    const facts = () => ({
      migrations: snapshot.migrations,
      tables: snapshot.read,
      sequences: snapshot.sequences,
      left_out: [...leftOutOf(home), ...snapshot.foreign.map((name) => `table ${name}: Lineshaft did not make it`)],
    });
    const streams = counted(joined(snapshot.streams(), homeStreams(home)), onProgress);
    const bytes = await writeContainer(file, entriesOf(label, streams, facts), {
      timeS: Math.floor(now.getTime() / 1000),
      passphrase,
      signal,
    });
    // Read again from the disk: a backup that cannot be read is useless.
    const manifest = await readBackup(file, { passphrase, signal });
    noteBackup(home, now);
    return { file, bytes, manifest };
  });
}

/** Reads a backup to its end and checks every part of it. Throws BackupError. */
export async function verifyBackup({
  file,
  passphrase,
  signal,
  onProgress = () => {},
}: Pick<BackupOptions, "file" | "passphrase" | "signal" | "onProgress">): Promise<Backup> {
  let bytes = 0;
  const path = resolve(file);
  const manifest = await readBackup(path, {
    passphrase,
    signal,
    onPart: async (part) => onProgress(`checking ${part.stream}`, (bytes += part.bytes.length)),
  });
  return { file: path, bytes: statSync(path).size, manifest };
}

/** The files come after the tables, so that what was written to a spool before the snapshot is in them. */
async function* joined(...parts: AsyncIterable<Stream>[]): AsyncGenerator<Stream> {
  for (const part of parts) yield* part;
}

async function* counted(streams: AsyncIterable<Stream>, onProgress: BackupProgress): AsyncGenerator<Stream> {
  let total = 0;
  for await (const { name, bytes } of streams) {
    const count = async function* () {
      onProgress(name, total);
      for await (const piece of bytes) {
        total += piece.length;
        onProgress(name, total);
        yield piece;
      }
    };
    yield { name, bytes: count() };
  }
}
