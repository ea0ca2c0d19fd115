// The two files of a stored state: ID.state, written by the library, and ID.json, which describes it. A state counts once ID.json exists.
import { LineshaftError } from "../../errors/index.ts";
import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { crc32 } from "node:zlib";
import { z } from "zod";
import type { KvFile } from "./kvIndex.ts";

/** Version 1 shared states within an organisation; since 2 a project has its own. */
const sidecarVersion = 2;

const sidecar = z.object({
  version: z.literal(sidecarVersion),
  fingerprint: z.string(),
  cacheSalt: z.string(),
  projects: z.array(z.string()),
  programs: z.array(z.string()),
  shared: z.boolean(),
  bytes: z.number().int(),
  crc32: z.number().int(),
  tokens: z.array(z.number().int()),
});

/** Every process writes a state at most once, so more than a few changes during a checksum have another cause. */
const sumTries = 8;

/** A half-written file of this age belongs to a process that has ended. */
const orphanMs = 60_000;

export const statePath = (dir: string, id: string): string => path.join(dir, `${id}.state`);
export const sidecarPath = (dir: string, id: string): string => path.join(dir, `${id}.json`);

/** A temporary file name of the state, unique to this process. */
export const temporaryPath = (dir: string, id: string): string =>
  path.join(dir, `${id}.${randomBytes(4).toString("hex")}.tmp`);

/** Ids of the states that have a sidecar. */
export function listStates(dir: string): Set<string> {
  const names = readdirSync(dir).filter((name) => name.endsWith(".json"));
  return new Set(names.map((name) => name.slice(0, -".json".length)));
}

/**
 * Reads a state's sidecar. Throws when it cannot be read, or when the state's size differs from it; LineshaftError (`state_superseded`) for
 * a state that an older version kept under other rules.
 */
export function readSidecar(dir: string, id: string): KvFile {
  const at = sidecarPath(dir, id);
  const said: unknown = JSON.parse(readFileSync(at, "utf8"));
  const { version } = z.object({ version: z.number() }).parse(said);
  if (version < sidecarVersion)
    throw new LineshaftError({
      code: "state_superseded",
      message: `It is of version ${version}, not ${sidecarVersion}.`,
    });
  const { version: _version, ...content } = sidecar.parse(said);
  if (statSync(statePath(dir, id)).size !== content.bytes) throw new Error("the state is cut short");
  return { id, ...content, lastUsedMs: statSync(at).mtimeMs };
}

/** Writes a state's sidecar, unless the state was dropped meanwhile. */
export async function writeSidecar(dir: string, file: KvFile, dropped: () => boolean): Promise<void> {
  const temporary = temporaryPath(dir, file.id);
  const { id: _id, lastUsedMs: _used, ...content } = file;
  try {
    await writeFile(temporary, JSON.stringify({ version: sidecarVersion, ...content }), { mode: 0o600 });
    if (!dropped()) await rename(temporary, sidecarPath(dir, file.id));
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Computes the state's checksum and writes its sidecar. Another process may write the same state meanwhile. The last sidecar must describe
 * the last content, so the checksum starts again if the file changes during it.
 */
export async function writeSummed(dir: string, file: KvFile, dropped: () => boolean): Promise<void> {
  const at = statePath(dir, file.id);
  for (let tries = 0; tries < sumTries; tries++) {
    const before = stamp(await stat(at));
    file.crc32 = await checksum(at);
    await writeSidecar(dir, file, dropped);
    if (stamp(await stat(at)) === before) return;
  }
}

/** Size and modification time, which tell one content of a state file from another. */
export function stamp(at: { size: number; mtimeMs: number }): string {
  return `${at.size}:${at.mtimeMs}`;
}

/** The sidecar is removed first, because a state without it does not exist for readers. */
export async function removeState(dir: string, id: string): Promise<void> {
  await rm(sidecarPath(dir, id), { force: true });
  await rm(statePath(dir, id), { force: true });
}

/** Removes old temporary files, and states and sidecars that lack the other, which killed workers left. */
export async function sweepOrphans(dir: string): Promise<void> {
  const names = new Set(readdirSync(dir));
  for (const name of names) {
    const lacks = (own: string, other: string) => name.endsWith(own) && !names.has(name.slice(0, -own.length) + other);
    const orphan = name.endsWith(".tmp") || lacks(".state", ".json") || lacks(".json", ".state");
    if (!orphan) continue;
    const at = await stat(path.join(dir, name)).catch(() => undefined);
    if (at && Date.now() - at.mtimeMs > orphanMs) await rm(path.join(dir, name), { force: true });
  }
}

/**
 * Name of the folder, the same for every process that shares it, on whatever machine and path: 32 hex digits in a file that
 * the first of them writes.
 */
export function folderName(dir: string): string {
  const at = path.join(dir, "folder");
  const temporary = temporaryPath(dir, "folder");
  try {
    return readFileSync(at, "utf8");
  } catch {
    writeFileSync(temporary, randomBytes(16).toString("hex"), { mode: 0o600 });
  }
  try {
    linkSync(temporary, at);
  } catch (error) {
    // Another process wrote the name first.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  return readFileSync(at, "utf8");
}

/** CRC-32 of a file, read in pieces so that streams go on meanwhile. */
export async function checksum(file: string): Promise<number> {
  const handle = await open(file, "r");
  try {
    const piece = Buffer.allocUnsafe(1024 * 1024);
    let sum = 0;
    for (;;) {
      const { bytesRead } = await handle.read(piece, 0, piece.length);
      if (bytesRead === 0) return sum;
      sum = crc32(piece.subarray(0, bytesRead), sum);
    }
  } finally {
    await handle.close();
  }
}
