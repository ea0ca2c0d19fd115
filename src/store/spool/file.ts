// One file of a spool, written. A write goes to the page cache and so survives the end of this process; a sync, in groups, makes it survive
// the end of the machine. A write or a sync that fails closes the file for ever: after a failed sync the kernel has forgotten which pages
// are not on the disk, so that a later sync would lie.
//
//   open -- a write or sync fails --> failed (the writer goes on in another file)
//   open -- close() -----------------> closed
//
// Zeros are written ahead of the records, in steps: a full disk then shows before a record needs the room, and room can be reserved. The
// zeros are really written, because a hole in a sparse file is no room.
import { closeSync, fdatasync, fdatasyncSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { LineshaftError } from "../../errors/index.ts";
import { isStorageFull } from "../failures.ts";
import { encodeHeader, encodeRecord, recordBytes } from "./format.ts";
import { limits } from "./limits.ts";
import type { Disk, SpoolHeader } from "./types.ts";

export const realDisk: Disk = { write: writeSync, sync: fdatasync, syncNow: fdatasyncSync };

const zeros = Buffer.alloc(limits.stepBytes);

/** The disk has no room for a record, or for what a record reserves. */
export function storageFull(cause?: unknown): LineshaftError {
  return new LineshaftError({
    code: "storage_full",
    message:
      "The disk has no room for the spool, so nothing new can be held. Free some space on the disk of LINESHAFT_HOME.",
    hint: "`lineshaft doctor` says how much is free.",
    retryAfterSeconds: 10,
    cause,
  });
}

interface NewFile {
  folder: string;
  header: SpoolHeader;
  first: readonly Uint8Array[];
  room: number;
  disk: Disk;
  events: FileEvents;
}

interface FileEvents {
  /** More records are synced than before. */
  onSynced(): void;
  /** The file is closed for ever. */
  onFailed(error: Error): void;
}

export class SpoolFile {
  readonly header: SpoolHeader;
  readonly path: string;
  readonly #disk: Disk;
  readonly #events: FileEvents;
  readonly #fd: number;
  readonly #seed: number;
  #scratch = Buffer.allocUnsafe(limits.scratchBytes);
  /** Where the next record begins, and how far the file has room. */
  #end: number;
  #allocated = 0;
  #last = 0;
  /** Records that are numbered and not written, and their bytes; they stand before `#end`. */
  #queued: Uint8Array[] = [];
  #queuedBytes = 0;
  #synced = 0;
  #timer: NodeJS.Timeout | undefined;
  #syncing = false;
  #state: "open" | "failed" | "closed" = "open";

  /**
   * Makes the file (mode 0600) with its first records and with room for so many bytes of further ones. The header is written last: until
   * it is there, the file says nothing of the file before it, whose end is moved into this one. Throws `storage_full`, or the error of the
   * system call, and leaves no file then.
   */
  constructor(options: NewFile) {
    this.header = options.header;
    this.path = join(options.folder, `${options.header.spool}${spoolSuffix}`);
    this.#disk = options.disk;
    this.#events = options.events;
    const { bytes: head, seed } = encodeHeader(options.header);
    this.#seed = seed;
    this.#end = head.length;
    this.#fd = openSync(this.path, "w", 0o600);
    try {
      const records = this.#encode(options.first, 0);
      this.#grow(head.length + records + options.room);
      this.#write(this.#scratch, records, head.length);
      this.#write(head, head.length, 0);
      this.#end += records;
      this.#last = options.first.length;
      syncFolder(dirname(this.path));
    } catch (error) {
      this.#stop("failed");
      rmSync(this.path, { force: true });
      throw isStorageFull(error) ? storageFull(error) : error;
    }
    this.#schedule();
  }

  /** The number of the newest record, and of the newest that is surely on the disk. */
  get last(): number {
    return this.#last;
  }
  get synced(): number {
    return this.#synced;
  }
  get bytes(): number {
    return this.#end;
  }
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Makes room for so many bytes of records beyond those written. Throws `storage_full`. */
  allocate(bytes: number): void {
    try {
      this.#grow(this.#end + bytes);
    } catch (error) {
      if (isStorageFull(error)) throw storageFull(error);
      this.#fail(error as Error);
      throw error;
    }
  }

  /**
   * Writes records for which there is room, and with them what is queued, in one write. An error closes the file: it is told to `onFailed`
   * and thrown.
   */
  append(payloads: readonly Uint8Array[]): void {
    const all = this.#queued.length === 0 ? payloads : [...this.#queued, ...payloads];
    const size = this.#encode(all, this.#last - this.#queued.length);
    try {
      this.#write(this.#scratch, size, this.#end - this.#queuedBytes);
    } catch (error) {
      this.#fail(error as Error);
      throw error;
    }
    this.#end += size - this.#queuedBytes;
    this.#last += payloads.length;
    this.#written();
    this.#schedule();
  }

  /** Numbers records that are written with the next `append` or `flush`. An error of that write is told to `onFailed` alone. */
  queue(payloads: readonly Uint8Array[]): void {
    for (const payload of payloads) {
      this.#queued.push(payload);
      this.#queuedBytes += recordBytes(payload.length);
      this.#end += recordBytes(payload.length);
    }
    this.#last += payloads.length;
  }

  /** Writes what is queued. An error of that write closes the file and is told to `onFailed` alone. */
  flush(): void {
    if (this.#queued.length === 0 || !this.isOpen) return;
    try {
      this.append([]);
    } catch {
      // It has been told.
    }
  }

  #written(): void {
    this.#queued = [];
    this.#queuedBytes = 0;
  }

  /** Whether records of so many bytes fit into what the file has already. */
  fits(bytes: number): boolean {
    return this.#end + bytes <= this.#allocated;
  }

  /** Closes the file for ever, which is told to `onFailed`: records that it has no room for go to the next one. */
  giveUp(error: Error): void {
    this.#fail(error);
  }

  /** Syncs what is not synced yet, and waits for it. An error closes the file: it is told to `onFailed` and thrown. */
  syncNow(): void {
    if (this.#synced === this.#last) return;
    if (this.#queued.length > 0) this.append([]);
    try {
      this.#disk.syncNow(this.#fd);
    } catch (error) {
      this.#fail(error as Error);
      throw error;
    }
    this.#synced = this.#last;
  }

  /** Ends the file; what is not synced stays so. */
  close(): void {
    this.#stop("closed");
  }

  /** Puts records into the scratch buffer, numbered from the one after `before`; answers their bytes. */
  #encode(payloads: readonly Uint8Array[], before: number): number {
    let size = 0;
    for (const payload of payloads) size += recordBytes(payload.length);
    // A buffer that one large write needed is not kept for the small ones.
    if (size > this.#scratch.length || this.#scratch.length > limits.recordBytesMost)
      this.#scratch = Buffer.allocUnsafe(Math.max(size, limits.scratchBytes));
    let at = 0;
    let number = before;
    for (const payload of payloads) at = encodeRecord(this.#scratch, at, payload, ++number, this.#seed);
    return size;
  }

  #schedule(): void {
    if (this.#timer || this.#syncing || this.#state !== "open") return;
    this.#timer = setTimeout(() => this.#sync(), limits.syncDelayMs);
  }

  #sync(): void {
    this.#timer = undefined;
    this.#syncing = true;
    const upTo = this.#last - this.#queued.length;
    this.#disk.sync(this.#fd, (error) => {
      this.#syncing = false;
      if (this.#state !== "open") return this.#closeFile();
      if (error) return this.#fail(error);
      this.#synced = Math.max(this.#synced, upTo);
      if (this.#last > this.#synced) this.#schedule();
      this.#events.onSynced();
    });
  }

  #grow(to: number): void {
    while (this.#allocated < to) this.#allocated += this.#disk.write(this.#fd, zeros, 0, zeros.length, this.#allocated);
  }

  #write(bytes: Buffer, length: number, position: number): void {
    for (let done = 0; done < length;) done += this.#disk.write(this.#fd, bytes, done, length - done, position + done);
  }

  #fail(error: Error): void {
    if (this.#state !== "open") return;
    this.#stop("failed");
    this.#events.onFailed(error);
  }

  #stop(state: "failed" | "closed"): void {
    if (this.#state !== "open") return;
    this.#state = state;
    clearTimeout(this.#timer);
    // A descriptor in use by a sync is closed when the sync ends: its number may name another file by then.
    if (!this.#syncing) this.#closeFile();
  }

  #closeFile(): void {
    try {
      closeSync(this.#fd);
    } catch {
      // The error of a close after a failed sync says nothing new.
    }
  }
}

export const spoolSuffix = ".spool";

/** Makes the name of a new file survive the end of the machine. */
function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
