// The disk tier: a folder of KV files, shared by the replicas of a deployment, that outlives the worker.
//
// A state is two files: ID.state, written by the library, and ID.json, which describes it and is written afterwards. A state counts only
// once its ID.json exists. Both appear by rename, so a killed worker leaves at worst a state without ID.json, which the next start removes.
// ID is a hash of model, cache salt and tokens: two replicas that park the same state write the same file. KV files are prompts: the folder
// is 0700, files are 0600, and they go with their project.
//
// A state that this process did not write is checked by CRC-32 before the library reads it, because the library may crash on one that is
// damaged. Anything wrong with a file is a miss, never a failure. Last use is the modification time of ID.json, so that replicas agree on
// what is least recently used. A leased state (leases.ts) is not evicted by the budget or by a newer state; it is still removed when its
// project is erased.
import { LineshaftError } from "../../errors/index.ts";
import { hash } from "node:crypto";
import { chmodSync, mkdirSync, statSync } from "node:fs";
import { rename, rm, stat, utimes } from "node:fs/promises";
import {
  checksum,
  folderName,
  listStates,
  readSidecar,
  removeState,
  sidecarPath,
  stamp,
  statePath,
  sweepOrphans,
  temporaryPath,
  writeSidecar,
  writeSummed,
} from "./kvFiles.ts";
import { type KvFile, KvIndex } from "./kvIndex.ts";
import { Leases } from "./leases.ts";
import { folderPollMs, parkMinTokens } from "./limits.ts";

export interface KvStoreOptions {
  dir: string;
  budgetBytes: number;
  fingerprint: string;
  contextTokens: number;
  /** Expected bytes of a token's state until a file has shown it: whether a state fits is decided before it is written. */
  bytesPerToken: number;
  onAdded(file: KvFile): void;
  onRemoved(file: KvFile): void;
  log(message: string, detail: Record<string, unknown>): void;
  now?: () => number;
}

export interface StateOwner {
  cacheSalt: string;
  project: string;
  program?: string;
}

/** A folder that changed this recently may change again within the same tick of its clock. */
const folderClockMs = 25;

export class KvStore {
  /** The same for all workers that read each other's files. */
  readonly pool: string;
  readonly leases: Leases;
  private readonly options: KvStoreOptions;
  private readonly index: KvIndex;
  private readonly now: () => number;
  /** Size and modification time of the state files that this process wrote or checked. */
  private readonly trusted = new Map<string, string>();
  /** States of this process whose sidecar is still being written, in the background. */
  private readonly undescribed = new Map<string, Promise<void>>();
  /** Ids whose sidecar cannot be used. Each is logged once and not read again. */
  private readonly ignored = new Set<string>();
  private readonly background = new Set<Promise<unknown>>();
  private readonly timer: NodeJS.Timeout;
  private folderSeen = -1;
  private perToken: number;

  constructor(options: KvStoreOptions) {
    this.options = options;
    this.now = options.now ?? Date.now;
    this.leases = new Leases(options.dir, this.now);
    this.perToken = options.bytesPerToken;
    this.index = new KvIndex(options.fingerprint, options.contextTokens);
    mkdirSync(options.dir, { recursive: true, mode: 0o700 });
    chmodSync(options.dir, 0o700);
    this.pool = hash("sha256", `${folderName(options.dir)}\0${options.fingerprint}`, "hex").slice(0, 16);
    this.refresh();
    this.track(sweepOrphans(options.dir));
    this.timer = setInterval(() => {
      this.refresh();
      this.track(this.removeUnleased());
    }, folderPollMs);
    this.timer.unref();
  }

  usage(): { usedBytes: number; budgetBytes: number; files: number } {
    return { usedBytes: this.index.usedBytes, budgetBytes: this.options.budgetBytes, files: this.index.size };
  }

  /** Tokens of the longest state that fits into the budget. */
  get maxTokens(): number {
    return Math.floor(this.options.budgetBytes / this.perToken);
  }

  /** Bytes of a token's state on disk. */
  get bytesPerToken(): number {
    return this.perToken;
  }

  /** Usable files that share a block with the prompt of these hashes, the longest match first. */
  candidates(promptHashes: readonly string[]): KvFile[] {
    this.refresh();
    return this.index.candidates(promptHashes);
  }

  get(id: string): KvFile | undefined {
    return this.index.get(id);
  }

  /** Name of the state of these tokens, whether it is stored or not: 32 hex digits. */
  idOf(cacheSalt: string, tokens: readonly number[]): string {
    const bytes = Buffer.from(Uint32Array.from(tokens).buffer);
    const head = `${this.options.fingerprint}\0${cacheSalt}\0`;
    return hash("sha256", Buffer.concat([Buffer.from(head), bytes]), "hex").slice(0, 32);
  }

  usable(file: KvFile): boolean {
    return this.index.usable(file);
  }

  keeps(id: string): boolean {
    return this.index.get(id) !== undefined;
  }

  /** Usable conversations of a run, longest first. */
  ofProgram(program: string): KvFile[] {
    this.refresh();
    return this.index
      .all()
      .filter((file) => file.programs.includes(program) && this.index.usable(file))
      .toSorted((a, b) => b.tokens.length - a.tokens.length);
  }

  /**
   * Stores the state of `tokens`; `write` writes it to the given path and returns its size in bytes. Returns the file, or undefined when it
   * does not fit or cannot be written. A state that is stored already is only marked as used.
   */
  async save(
    owner: StateOwner,
    tokens: readonly number[],
    shared: boolean,
    write: (path: string) => Promise<number>,
  ): Promise<KvFile | undefined> {
    const id = this.idOf(owner.cacheSalt, tokens);
    const known = this.index.get(id);
    if (known) return this.adopt(known, owner, shared);
    const room = await this.makeRoom(tokens.length * this.perToken);
    if (!room) return undefined;
    // Another process may have stored the same state since the folder was last read.
    const theirs = this.index.get(id);
    if (theirs) return this.adopt(theirs, owner, shared);
    const temporary = temporaryPath(this.options.dir, id);
    let bytes: number;
    try {
      bytes = await write(temporary);
      await rename(temporary, statePath(this.options.dir, id));
    } catch (error) {
      await rm(temporary, { force: true });
      this.options.log("a KV state could not be written; it will be computed anew", { error: String(error) });
      return undefined;
    }
    const file: KvFile = {
      id,
      cacheSalt: owner.cacheSalt,
      projects: [owner.project],
      programs: owner.program ? [owner.program] : [],
      shared,
      tokens: [...tokens],
      bytes,
      crc32: -1,
      fingerprint: this.options.fingerprint,
      lastUsedMs: this.now(),
    };
    this.trusted.set(id, stamp(await stat(statePath(this.options.dir, id))));
    if (!shared) await this.removeSuperseded(file);
    this.add(file);
    const described = this.describe(file, true);
    this.undescribed.set(id, described);
    this.track(described);
    return file;
  }

  /** Resolves to true when every process of the folder can load the state, to false when it could not be stored. */
  async published(id: string): Promise<boolean> {
    await this.undescribed.get(id);
    return this.keeps(id);
  }

  /** Marks that the call needs the state no longer. The state stays until the budget needs its room. */
  async release(lease: string): Promise<void> {
    await this.leases.end(lease);
    await this.removeUnleased();
  }

  /** Loads a stored state by `read`. Returns false if the file is gone, damaged or refused, and removes the state. */
  async load(id: string, read: (path: string) => Promise<number>): Promise<boolean> {
    const file = this.index.get(id);
    if (!file) return false;
    const at = statePath(this.options.dir, id);
    try {
      const now = await stat(at);
      if (this.trusted.get(id) !== stamp(now)) {
        // Two processes may write the same state one after the other; the newest sidecar counts.
        const said = this.undescribed.has(id) ? file : readSidecar(this.options.dir, id);
        if (now.size !== said.bytes || (await checksum(at)) !== said.crc32)
          throw new Error("the content is not what was written");
        this.trusted.set(id, stamp(now));
      }
      const tokens = await read(at);
      if (tokens !== file.tokens.length) throw new Error(`${tokens} tokens instead of ${file.tokens.length}`);
      this.touch(file);
      return true;
    } catch (error) {
      this.options.log("a KV file was of no use and is dropped", { id, error: String(error) });
      await this.remove(file);
      return false;
    }
  }

  /** Erases the states that only this project owns. States that other projects own too lose this owner and stay. */
  async eraseProject(project: string): Promise<{ files: number; bytes: number }> {
    await this.settled();
    this.refresh(true);
    const erased = { files: 0, bytes: 0 };
    for (const file of this.index.all().filter((file) => file.projects.includes(project))) {
      file.projects = file.projects.filter((owner) => owner !== project);
      if (file.projects.length > 0) {
        await this.describe(file);
        continue;
      }
      erased.files++;
      erased.bytes += file.bytes;
      await this.remove(file);
    }
    return erased;
  }

  /**
   * Drops the conversations of a run that has ended. Prefixes that other runs share stay, and a leased state stays until its lease ends.
   * Answers the tokens dropped.
   */
  async dropProgram(program: string): Promise<number> {
    this.refresh();
    let tokens = 0;
    const leased = this.leases.leased();
    for (const file of this.index.all().filter((file) => file.programs.includes(program))) {
      file.programs = file.programs.filter((owner) => owner !== program);
      if (file.shared || file.programs.length > 0) {
        await this.describe(file);
        continue;
      }
      tokens += file.tokens.length;
      if (leased.has(file.id)) {
        this.leases.goes(file.id);
        await this.describe(file);
      } else await this.remove(file);
    }
    return tokens;
  }

  /** Reads the files that other replicas have added or removed; costs one stat when the folder has not changed. */
  refresh(force = false): void {
    let changed: number;
    try {
      changed = statSync(this.options.dir).mtimeMs;
    } catch {
      for (const file of this.index.all()) this.drop(file);
      return;
    }
    if (!force && changed === this.folderSeen) return;
    this.folderSeen = Date.now() - changed > folderClockMs ? changed : -1;
    const ids = listStates(this.options.dir);
    for (const id of ids) {
      if (this.index.get(id) || this.ignored.has(id)) continue;
      try {
        this.add(readSidecar(this.options.dir, id));
      } catch (error) {
        this.ignored.add(id);
        const superseded = error instanceof LineshaftError && error.code === "state_superseded";
        this.options.log(superseded ? "a KV file is removed" : "a KV file is ignored", { id, error: String(error) });
        if (superseded) void removeState(this.options.dir, id).catch(() => {});
      }
    }
    for (const file of this.index.all()) {
      // A state of this process exists even while its sidecar is still being written.
      if (!ids.has(file.id) && !this.undescribed.has(file.id)) this.drop(file);
    }
  }

  /** Resolves when everything begun in the background is on disk. */
  async settled(): Promise<void> {
    while (this.background.size > 0) await Promise.allSettled(this.background);
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.settled();
  }

  private add(file: KvFile): void {
    this.index.put(file);
    if (!this.index.usable(file)) return;
    if (file.tokens.length >= parkMinTokens) this.perToken = file.bytes / file.tokens.length;
    this.options.onAdded(file);
  }

  private drop(file: KvFile): void {
    this.trusted.delete(file.id);
    this.undescribed.delete(file.id);
    if (this.index.remove(file.id)) this.options.onRemoved(file);
  }

  private async remove(file: KvFile): Promise<void> {
    this.drop(file);
    await removeState(this.options.dir, file.id);
  }

  private async adopt(file: KvFile, owner: StateOwner, shared: boolean): Promise<KvFile> {
    const news =
      !file.projects.includes(owner.project) ||
      (owner.program !== undefined && !file.programs.includes(owner.program)) ||
      (shared && !file.shared);
    if (!file.projects.includes(owner.project)) file.projects.push(owner.project);
    if (owner.program && !file.programs.includes(owner.program)) file.programs.push(owner.program);
    file.shared ||= shared;
    if (news) await this.describe(file);
    else this.touch(file);
    return file;
  }

  /** Marks a use, so that the file is not evicted next. */
  touch(file: KvFile): void {
    file.lastUsedMs = this.now();
    const seconds = file.lastUsedMs / 1000;
    this.track(utimes(sidecarPath(this.options.dir, file.id), seconds, seconds).catch(() => undefined));
  }

  private async makeRoom(bytes: number): Promise<boolean> {
    this.refresh();
    for (const file of this.index.all()) {
      const at = await stat(sidecarPath(this.options.dir, file.id)).catch(() => undefined);
      if (at) file.lastUsedMs = Math.max(file.lastUsedMs, at.mtimeMs);
    }
    const victims = this.index.victims(bytes, this.options.budgetBytes, this.leases.leased());
    if (!victims) return false;
    for (const victim of victims) await this.remove(victim);
    return true;
  }

  private async removeSuperseded(longer: KvFile): Promise<void> {
    const superseded = this.index.superseded(longer);
    if (superseded.length === 0) return;
    const leased = this.leases.leased();
    for (const old of superseded) if (!leased.has(old.id)) await this.remove(old);
  }

  /** Removes states that were kept only for a lease that has ended. */
  private async removeUnleased(): Promise<void> {
    for (const id of this.leases.gone()) {
      const file = this.index.get(id);
      if (file) await this.remove(file);
    }
  }

  /** Writes the sidecar, so that other processes find the state. A `fresh` state, or one without a checksum, is checksummed first. */
  private async describe(file: KvFile, fresh = false): Promise<void> {
    const dropped = () => this.index.get(file.id) !== file;
    const unsummed = fresh || this.undescribed.has(file.id);
    try {
      await (unsummed ? writeSummed : writeSidecar)(this.options.dir, file, dropped);
      this.undescribed.delete(file.id);
      // The state was dropped during the rename, so the renamed file is removed too.
      if (!this.keeps(file.id)) await removeState(this.options.dir, file.id);
    } catch (error) {
      if (dropped()) {
        // The state was removed before the rename of its sidecar had ended. The sidecar holds the prompt's tokens, so it goes too.
        if (!this.keeps(file.id)) await removeState(this.options.dir, file.id);
        return;
      }
      this.options.log("a KV file could not be described and is dropped", { id: file.id, error: String(error) });
      await this.remove(file);
    }
  }

  private track(work: Promise<unknown>): void {
    this.background.add(work);
    void work.catch(() => undefined).finally(() => this.background.delete(work));
  }
}
