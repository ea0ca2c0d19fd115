// The spool of one epoch of a process: records in a row of files, each the continuation of the one before.
//
// A file that has grown is followed by a new one (rotation). A file whose write or sync failed is followed too, and then what was not
// synced is written again into the new one: until a record is synced its payload stays in memory, which is some milliseconds of traffic.
// The header of the new file says where the old one ends. A place that was given out before in the old file is understood after that.
//
// While no file can be opened, new work is refused with `storage_full`. Records whose room was reserved (the extensions and settlements of
// work under way) are kept in memory until a file opens: their number is bounded by the reservations. On a full disk an open file takes them
// as long as it has room, and is followed by another one when it has none.
import { newId } from "../ids.ts";
import { SpoolFile, realDisk, storageFull } from "./file.ts";
import { recordBytes } from "./format.ts";
import { limits } from "./limits.ts";
import type { LeftFolder } from "./folder.ts";
import { ownFolder, type OwnedFolder } from "./owner.ts";
import type { Disk, SpoolHeader, SpoolPlace, TrailFile } from "./types.ts";

/** A fresh id for the first file of a writer, which the caller may announce before the file exists. */
export const newSpoolId = (): string => newId("spl");

const done = Promise.resolve();

interface WriterOptions {
  /** The first file's id. */
  id: string;
  epoch: string;
  /** A file was closed for ever: work goes on in another one, or is refused until one opens. */
  onFailure?: (error: Error) => void;
  now?: () => number;
  fileBytes?: number;
  disk?: Disk;
}

interface AdoptOptions extends WriterOptions {
  left: LeftFolder;
  owned: OwnedFolder;
  last: number;
}

/** What was appended and is not synced. `number`: that of its last payload. */
interface Unsynced {
  number: number;
  payloads: readonly Uint8Array[];
  bytes: number;
}

interface Waiting {
  place: SpoolPlace;
  resolve(): void;
  reject(error: unknown): void;
}

/** Appends records durably, for one process. Every verb but `synced` and `written` is synchronous. */
export class SpoolWriter {
  readonly #options: Required<WriterOptions>;
  readonly #owned: OwnedFolder;
  readonly #trail: TrailFile[];
  readonly #listeners = new Set<() => void>();
  #file: SpoolFile | undefined;
  /** The file that is open, or that is to be opened. */
  #header: SpoolHeader;
  #unsynced: Unsynced[] = [];
  #unsyncedBytes = 0;
  #reserved = 0;
  #waiting: Waiting[] = [];
  /** Ends with the write of what was queued in this turn of the event loop; undefined while nothing is queued. */
  #turn: Promise<void> | undefined;
  #openAgainMs = 0;
  #cause: unknown;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(
    options: WriterOptions,
    owned: OwnedFolder,
    before: { trail: TrailFile[]; header?: SpoolHeader },
  ) {
    this.#options = {
      onFailure: () => {},
      now: Date.now,
      fileBytes: limits.fileBytes,
      disk: realDisk,
      ...options,
    };
    this.#owned = owned;
    this.#trail = before.trail;
    const last = before.trail.at(-1);
    this.#header = {
      spool: options.id,
      epoch: options.epoch,
      index: before.header ? before.header.index + 1 : 0,
      ...(last && { previous: { spool: last.spool, number: last.upTo } }),
      owner: owned.mark,
      createdMs: this.#options.now(),
    };
    this.#begin(this.#make(this.#header, []));
  }

  /**
   * Makes a folder (0700) below `root`, its lock and the first file (0600) in it. Throws `storage_full`, or the error of the system call.
   */
  static open({ root, ...options }: WriterOptions & { root: string }): SpoolWriter {
    const owned = ownFolder(root);
    try {
      return new SpoolWriter(options, owned, { trail: [] });
    } catch (error) {
      owned.lock[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Goes on with the spool of a dead process in a further file. `last`: the number of the last good record of its last file, behind which
   * nothing counts. Throws `storage_full`, or the error of the system call; the folder is still owned then.
   */
  static adopt({ left, owned, last, ...options }: AdoptOptions): SpoolWriter {
    const trail = left.files.map(({ spool, path, upTo }): TrailFile => ({ spool, path, upTo, ended: true }));
    trail.at(-1)!.upTo = last;
    return new SpoolWriter(options, owned, { trail, header: left.files.at(-1)!.header });
  }

  /** The writer's own folder. */
  get folder(): string {
    return this.#owned.folder;
  }

  get epoch(): string {
    return this.#options.epoch;
  }

  /** The files so far, oldest first. The entries change in place while records are appended and synced. */
  get trail(): readonly TrailFile[] {
    return this.#trail;
  }

  /** The place of the newest record. */
  position(): SpoolPlace {
    return { spool: this.#header.spool, number: this.#last() };
  }

  /**
   * Writes records, in one write, and answers the place of the last. `drawn`: bytes of reservations that they use up, in
   * `recordBytes`; a record that is larger than its reservation still counts as reserved. When it returns,
   * the records survive the end of this process; reserved ones stay in memory while no file can be opened (`confirm`). Throws LineshaftError `storage_full` where there is no room, and RangeError for a payload
   * that is empty or larger than `recordBytesMost`; nothing is written then. Payloads are kept until they are synced, so the caller must
   * not change them.
   */
  append(payloads: readonly Uint8Array[], drawn = 0): SpoolPlace {
    return this.#take(payloads, drawn, (file) => file.append(payloads));
  }

  /**
   * As `append`, for records that need not survive the end of this process yet: they share the write of the next record, at the latest one at
   * the end of this turn of the event loop (`written`). A write that fails closes its file, and they are written into the next one.
   */
  queue(payloads: readonly Uint8Array[], drawn = 0): SpoolPlace {
    const place = this.#take(payloads, drawn, (file) => file.queue(payloads));
    this.#turn ??= this.#endOfTurn();
    return place;
  }

  /**
   * Resolves when what was queued until now is written, in one write for all that was queued in this turn of the event loop. Rejects with
   * `storage_full` where it lies in memory alone, because no file can be opened.
   */
  written(): Promise<void> {
    return this.#turn ?? done;
  }

  #endOfTurn(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    setImmediate(() => {
      this.#turn = undefined;
      this.#file?.flush();
      if (this.#file) return resolve();
      // Records that nothing waits for are no unhandled rejection.
      promise.catch(() => {});
      reject(storageFull(this.#cause));
    });
    return promise;
  }

  #take(payloads: readonly Uint8Array[], drawn: number, into: (file: SpoolFile) => void): SpoolPlace {
    if (this.#closed) throw new Error("The spool is closed.");
    let bytes = 0;
    for (const { length } of payloads) {
      if (length === 0 || length > limits.recordBytesMost) throw new RangeError(`A record of ${length} bytes.`);
      bytes += recordBytes(length);
    }
    if (drawn === 0 && this.#unsyncedBytes > limits.unsyncedBytesMost) throw storageFull(this.#cause);
    // A write that fails closes its file, and is then tried once in the next.
    for (let tries = 0; ; tries++) {
      const file = this.#file ?? this.#open();
      if (!file) {
        if (drawn === 0) throw storageFull(this.#cause);
        break;
      }
      try {
        this.#makeRoom(file, bytes, drawn);
        into(file);
        break;
      } catch (error) {
        if (file.isOpen || tries > 0) throw error;
      }
    }
    this.#reserved -= drawn;
    this.#unsyncedBytes += bytes;
    const number = this.#file ? this.#file.last : this.#last() + payloads.length;
    this.#unsynced.push({ number, payloads, bytes });
    return { spool: this.#header.spool, number };
  }

  /**
   * A record with reserved room that needs more than that is written on a full disk too: it takes what the file has, or is kept in memory
   * until a file opens. Refusing it would leave work that has happened without its record.
   */
  #makeRoom(file: SpoolFile, bytes: number, drawn: number): void {
    try {
      file.allocate(bytes + this.#reserved - drawn);
    } catch (error) {
      if (drawn === 0 || !file.isOpen) throw error;
      if (file.fits(bytes)) return;
      file.giveUp(error as Error);
      throw error;
    }
  }

  /**
   * Sets room aside for records that must not fail later: `recordBytes` of each payload. Throws `storage_full`. Room that `append` draws
   * and room that is released must have been reserved before.
   */
  reserve(bytes: number): void {
    if (this.#closed) throw new Error("The spool is closed.");
    const file = this.#file ?? this.#open();
    if (!file || this.#unsyncedBytes > limits.unsyncedBytesMost) throw storageFull(this.#cause);
    file.allocate(this.#reserved + bytes);
    this.#reserved += bytes;
  }

  release(bytes: number): void {
    this.#reserved -= bytes;
  }

  /** Resolves when everything up to a place is on the disk. Rejects when the writer is closed before that. */
  synced(place: SpoolPlace): Promise<void> {
    if (this.#isSynced(place)) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ place, resolve, reject }));
  }

  /** Told whenever more records are synced. Answers how to end that. */
  onSynced(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Syncs, and frees the lock: from then on the folder counts as that of a dead process. */
  close(): void {
    if (this.#closed) return;
    try {
      (this.#file ?? this.#open())?.syncNow();
    } catch {
      // The failure has been told, and what was not synced was written into another file.
    }
    this.#progress();
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#file?.close();
    for (const { reject } of this.#waiting.splice(0)) reject(new Error("The spool was closed before it was synced."));
    this.#owned.lock[Symbol.dispose]();
  }

  #last(): number {
    return this.#file?.last ?? this.#unsynced.at(-1)?.number ?? 0;
  }

  #make(header: SpoolHeader, first: readonly Uint8Array[]): SpoolFile {
    const { disk } = this.#options;
    const file = new SpoolFile({
      folder: this.#owned.folder,
      header,
      first,
      room: this.#reserved,
      disk,
      events: { onSynced: () => this.#onSynced(file), onFailed: (error) => this.#onFailed(file, error) },
    });
    return file;
  }

  #begin(file: SpoolFile): void {
    this.#file = file;
    this.#header = file.header;
    this.#trail.push({ spool: file.header.spool, path: file.path, upTo: 0, ended: false });
  }

  #onSynced(file: SpoolFile): void {
    if (file !== this.#file) return;
    this.#progress();
    if (file.bytes >= this.#options.fileBytes && this.#options.now() >= this.#openAgainMs) this.#rotate(file);
  }

  /** Forgets payloads that are synced, and tells those who wait. */
  #progress(): void {
    const file = this.#file;
    if (!file) return;
    this.#trail.at(-1)!.upTo = file.synced;
    let done = 0;
    while (done < this.#unsynced.length && this.#unsynced[done]!.number <= file.synced)
      this.#unsyncedBytes -= this.#unsynced[done++]!.bytes;
    if (done > 0) this.#unsynced = this.#unsynced.slice(done);
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ place }) => !this.#isSynced(place));
    for (const { place, resolve } of waiting) if (this.#isSynced(place)) resolve();
    for (const listener of this.#listeners) listener();
  }

  #isSynced({ spool, number }: SpoolPlace): boolean {
    const file = this.#trail.findIndex((one) => one.spool === spool);
    if (file < 0) return false;
    const { upTo, ended } = this.#trail[file]!;
    if (number <= upTo) return true;
    // What stood after the end of a file that failed was written again at the beginning of the next.
    const next = this.#trail[file + 1];
    return ended && next !== undefined && this.#isSynced({ spool: next.spool, number: number - upTo });
  }

  /** Follows a grown file by a new one. What arrived while the last sync ran is synced here, so that the old file ends whole. */
  #rotate(file: SpoolFile): void {
    try {
      file.syncNow();
    } catch {
      return;
    }
    this.#progress();
    try {
      const next = this.#make(this.#following(file), []);
      this.#end(file);
      this.#begin(next);
    } catch (error) {
      // The old file goes on, since it still has room that was reserved.
      this.#later(error);
    }
  }

  #following(file: SpoolFile): SpoolHeader {
    return {
      spool: newSpoolId(),
      epoch: this.#options.epoch,
      index: file.header.index + 1,
      previous: { spool: file.header.spool, number: file.synced },
      owner: this.#owned.mark,
      createdMs: this.#options.now(),
    };
  }

  #end(file: SpoolFile): void {
    file.close();
    const trail = this.#trail.at(-1)!;
    trail.upTo = file.synced;
    trail.ended = true;
  }

  #onFailed(file: SpoolFile, error: Error): void {
    if (file !== this.#file) return;
    this.#progress();
    this.#file = undefined;
    this.#end(file);
    this.#header = this.#following(file);
    this.#cause = error;
    for (const entry of this.#unsynced) entry.number -= file.synced;
    this.#options.onFailure(error);
    this.#openAgainMs = 0;
    this.#open();
  }

  /** Opens the file that follows a failed one, with what the failed one did not sync. */
  #open(): SpoolFile | undefined {
    if (this.#closed || this.#options.now() < this.#openAgainMs) return undefined;
    try {
      this.#begin(
        this.#make(
          this.#header,
          this.#unsynced.flatMap(({ payloads }) => payloads),
        ),
      );
      return this.#file;
    } catch (error) {
      this.#later(error);
      return undefined;
    }
  }

  #later(error: unknown): void {
    this.#cause = error;
    this.#openAgainMs = this.#options.now() + limits.openAgainMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#file ?? this.#open(), limits.openAgainMs).unref();
  }
}
