// Whether the home's disk has room. A database that cannot write its log ends and starts again in circles, so new work is refused
// while there is still room for it to end what it has begun. The disk is full when less than a reserve is free, or when a write has
// failed for want of room (a quota does not show in what is free); it has room again when more than that is free and a probe is written.
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { diskFullLookMs, diskLookMs, diskProbeBytes, diskReserveBytes, diskRoomBytes } from "./limits.ts";

interface DiskOptions {
  /** Any folder on the disk that may be written to. */
  folder: string;
  /** Told when the disk becomes full, and when it has room again. */
  onChange(full: boolean): void;
  /** Bytes free for this user; injected in tests. */
  freeBytes?: () => number;
  /** Writes and removes a file, or throws; injected in tests. */
  probe?: () => void;
}

/** Watches the disk of a folder once `watch` is called. `onChange` hears when it has become full, and when it has room again. */
export class Disk {
  readonly #options: DiskOptions;
  readonly #freeBytes: () => number;
  readonly #probe: () => void;
  #full = false;
  #free = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: DiskOptions) {
    this.#options = options;
    this.#freeBytes =
      options.freeBytes ??
      (() => {
        const { bavail, bsize } = statfsSync(options.folder);
        return bavail * bsize;
      });
    this.#probe = options.probe ?? (() => writeProbe(join(options.folder, ".room")));
  }

  get full(): boolean {
    return this.#full;
  }

  /** Bytes free when it was looked at last. */
  get free(): number {
    return this.#free;
  }

  /** Looks now and then from here on. */
  watch(): void {
    this.look();
    this.#schedule();
  }

  /** Something could not be written; whether for want of room is seen by its code. */
  failed(error: unknown): void {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOSPC" || code === "EDQUOT") this.#become(true);
  }

  look(): void {
    try {
      this.#free = this.#freeBytes();
    } catch {
      // A disk that cannot be asked is another trouble than a full one.
      return;
    }
    if (this.#free < diskReserveBytes) return this.#become(true);
    if (!this.#full || this.#free < diskRoomBytes) return;
    try {
      this.#probe();
      this.#become(false);
    } catch {
      // Still full.
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(
      () => {
        this.look();
        this.#schedule();
      },
      this.#full ? diskFullLookMs : diskLookMs,
    ).unref();
  }

  #become(full: boolean): void {
    if (full === this.#full) return;
    this.#full = full;
    this.#options.onChange(full);
  }
}

function writeProbe(path: string): void {
  try {
    const file = openSync(path, "w", 0o600);
    try {
      writeSync(file, Buffer.alloc(diskProbeBytes));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } finally {
    rmSync(path, { force: true });
  }
}
