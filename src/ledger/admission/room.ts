// Room in the spool for the records of what is under way. It is set aside before anything begins: a disk that fills up meanwhile stops new
// calls and further extensions, and never the end of what has begun.
//
//   of an attempt   hold, mark and the next extension | settlement        given back when the attempt is settled
//   of a call       its record                                            given back when it is recorded
//
// The parts are kept apart, because extensions are as many as an answer is long. A further extension reserves its own room first, and is
// refused where there is none. A settlement may also use what is left of the first part.
import { recordBytes } from "../../store/index.ts";
import { spoolRoom } from "../limits.ts";
import type { SpoolPosition } from "../types.ts";

/** What rooms need of a spool; every verb is synchronous. Bytes are those that records take in the file. */
export interface RoomSpool {
  append(payloads: Uint8Array[], drawn?: number): SpoolPosition;
  /** Its records are written with the next that are appended, at the latest at the end of this turn of the event loop. */
  queue(payloads: Uint8Array[], drawn?: number): SpoolPosition;
  /** Resolves when what was queued until now is written. Rejects with `storage_full` where it lies in memory alone. */
  written(): Promise<void>;
  reserve(bytes: number): void;
  release(bytes: number): void;
}

export class Rooms {
  readonly #spool: RoomSpool;
  /** Calls that have room for their record, and no attempt that has. */
  readonly #calls = new Set<string>();

  constructor(spool: RoomSpool) {
    this.#spool = spool;
  }

  /** Room for an attempt, and for the record of its call. Throws `storage_full`. */
  begin(): AttemptRoom {
    this.#spool.reserve(spoolRoom.progressBytes + spoolRoom.settlementBytes + spoolRoom.callBytes);
    return new AttemptRoom(this.#spool);
  }

  /** An attempt is settled: what its records did not use is given back, and its call keeps room for its record. */
  settled(call: string, room: AttemptRoom): void {
    room.release();
    if (this.#calls.has(call)) this.#spool.release(spoolRoom.callBytes);
    else this.#calls.add(call);
  }

  /** An attempt was not admitted. */
  end(room: AttemptRoom): void {
    room.release();
    this.#spool.release(spoolRoom.callBytes);
  }

  /**
   * Has the record of a call that has ended written with the others of this turn; resolves when it is, and rejects where it lies in memory
   * alone. A call without attempts has no room: it throws `storage_full` on a full disk.
   */
  record(call: string, record: Uint8Array): Promise<void> {
    const reserved = this.#calls.has(call) ? spoolRoom.callBytes : 0;
    const drawn = Math.min(recordBytes(record.byteLength), reserved);
    this.#spool.queue([record], drawn);
    this.#calls.delete(call);
    this.#spool.release(reserved - drawn);
    return this.#spool.written();
  }
}

/** What is set aside for one attempt. */
export class AttemptRoom {
  readonly #spool: RoomSpool;
  #progressBytes: number = spoolRoom.progressBytes;
  #settlementBytes: number = spoolRoom.settlementBytes;

  constructor(spool: RoomSpool) {
    this.#spool = spool;
  }

  /** Makes sure that records of so many bytes fit beside the settlement. Throws `storage_full`. */
  ensure(bytes: number): void {
    const more = bytes - this.#progressBytes;
    if (more <= 0) return;
    this.#spool.reserve(more);
    this.#progressBytes += more;
  }

  /**
   * Writes the mark that an engine is asked, with the marks and holds of other calls of this turn. Rejects where neither it nor the hold
   * would survive a crash: then no engine may be asked.
   */
  sent(record: Uint8Array): Promise<void> {
    this.queue(record);
    return this.#spool.written();
  }

  append(record: Uint8Array): void {
    const drawn = Math.min(recordBytes(record.byteLength), this.#progressBytes);
    this.#spool.append([record], drawn);
    this.#progressBytes -= drawn;
  }

  /** Has a record written with the others of this turn: a hold, which is no attempt before it is sent, and the mark that it is. */
  queue(record: Uint8Array): void {
    const drawn = Math.min(recordBytes(record.byteLength), this.#progressBytes);
    this.#spool.queue([record], drawn);
    this.#progressBytes -= drawn;
  }

  /** Has the settlement written with the next record: with that of its call, where the attempt is the last. */
  settle(record: Uint8Array): void {
    const drawn = Math.min(recordBytes(record.byteLength), this.#progressBytes + this.#settlementBytes);
    this.#spool.queue([record], drawn);
    const ofSettlement = Math.min(drawn, this.#settlementBytes);
    this.#settlementBytes -= ofSettlement;
    this.#progressBytes -= drawn - ofSettlement;
  }

  release(): void {
    this.#spool.release(this.#progressBytes + this.#settlementBytes);
    this.#progressBytes = 0;
    this.#settlementBytes = 0;
  }
}
