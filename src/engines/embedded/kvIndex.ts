// A pure index of the folder of KV files: files are found by block hash, evicted by least recent use, and owned by projects.
//
// A file is found by the blocks of the prompt, deepest first: only a file that holds a prompt's block can share more than 63
// tokens with it. The planner (sequences.ts) compares the found files by their tokens.
import { blockHashes, saltOf } from "./blocks.ts";
import type { FileView } from "./sequences.ts";
import { commonPrefix } from "./sequences.ts";

export interface KvFile extends FileView {
  /** Owners: the file goes when the last of them is erased. */
  projects: string[];
  /** Runs whose conversation this is; empty for a conversation without a program. */
  programs: string[];
  bytes: number;
  /** CRC-32 of the state file: what another process wrote is checked before the library reads it. */
  crc32: number;
  /** Model, library and layout the state belongs to; others are counted and evicted, never loaded. */
  fingerprint: string;
  lastUsedMs: number;
}

/** Candidates handed to the planner per prompt: enough to choose from, few enough to compare. */
const candidatesMax = 16;

export class KvIndex {
  private readonly files = new Map<string, KvFile>();
  private readonly byBlock = new Map<string, Set<string>>();
  private readonly hashes = new Map<string, string[]>();
  private readonly fingerprint: string;
  private readonly contextTokens: number;
  private bytes = 0;

  constructor(fingerprint: string, contextTokens: number) {
    this.fingerprint = fingerprint;
    this.contextTokens = contextTokens;
  }

  get usedBytes(): number {
    return this.bytes;
  }

  get size(): number {
    return this.files.size;
  }

  get(id: string): KvFile | undefined {
    return this.files.get(id);
  }

  all(): KvFile[] {
    return [...this.files.values()];
  }

  /** Of this model, and short enough for a sequence of this worker. */
  usable(file: KvFile): boolean {
    return file.fingerprint === this.fingerprint && file.tokens.length < this.contextTokens;
  }

  put(file: KvFile): void {
    this.remove(file.id);
    this.files.set(file.id, file);
    this.bytes += file.bytes;
    if (!this.usable(file)) return;
    const hashes = blockHashes(saltOf(file.cacheSalt), file.tokens);
    this.hashes.set(file.id, hashes);
    for (const hash of hashes) {
      const ids = this.byBlock.get(hash);
      if (ids) ids.add(file.id);
      else this.byBlock.set(hash, new Set([file.id]));
    }
  }

  remove(id: string): KvFile | undefined {
    const file = this.files.get(id);
    if (!file) return undefined;
    this.files.delete(id);
    this.bytes -= file.bytes;
    for (const hash of this.hashes.get(id) ?? []) {
      const ids = this.byBlock.get(hash)!;
      ids.delete(id);
      if (ids.size === 0) this.byBlock.delete(hash);
    }
    this.hashes.delete(id);
    return file;
  }

  /** Files that share at least the first block with a prompt of these block hashes, the longest match first. */
  candidates(promptHashes: readonly string[]): KvFile[] {
    const found = new Set<string>();
    for (let depth = promptHashes.length - 1; depth >= 0 && found.size < candidatesMax; depth--) {
      for (const id of this.byBlock.get(promptHashes[depth]!) ?? []) {
        found.add(id);
        if (found.size >= candidatesMax) break;
      }
    }
    return [...found].map((id) => this.files.get(id)!);
  }

  /** The least recently used files, without `spared`, whose removal makes room for `bytes`; undefined when there are not enough. */
  victims(bytes: number, budget: number, spared: ReadonlySet<string>): KvFile[] | undefined {
    const victims: KvFile[] = [];
    let excess = this.bytes + bytes - budget;
    for (const file of this.all().toSorted((a, b) => a.lastUsedMs - b.lastUsedMs)) {
      if (excess <= 0) break;
      if (spared.has(file.id)) continue;
      victims.push(file);
      excess -= file.bytes;
    }
    return excess <= 0 ? victims : undefined;
  }

  /** Conversations that `longer` continues and whose runs are all runs of `longer`, so removing them loses no state. */
  superseded(longer: Pick<KvFile, "id" | "cacheSalt" | "tokens" | "programs">): KvFile[] {
    return this.candidates(blockHashes(saltOf(longer.cacheSalt), longer.tokens)).filter(
      (file) =>
        file.id !== longer.id &&
        !file.shared &&
        file.tokens.length < longer.tokens.length &&
        file.programs.every((program) => longer.programs.includes(program)) &&
        commonPrefix(file.tokens, longer.tokens) === file.tokens.length,
    );
  }
}
