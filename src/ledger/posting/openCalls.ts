// Which file of a spool has the first hold of a call that has not ended. Such a file stays: if the process dies, its replay needs the holds
// to end attempts that are open, and to write the call's row for attempts that are settled. Memory is bounded by the calls that are under
// way.
//
// A call whose own record could not be written (a full disk) never ends here. So a call without an open attempt keeps its file only while
// `callFilesMost` files follow, which a call spends between two attempts many times over.
import { posting as limits } from "../limits.ts";
import type { PostedRecord } from "./decode.ts";

interface OpenCall {
  /** Place in the trail of the file with its first hold. */
  file: number;
  openAttempts: number;
  /** The file with its newest record. */
  seen: number;
}

export class OpenCalls {
  readonly #calls = new Map<string, OpenCall>();
  /** The newest record that was noted: records are read again after a failure. */
  #file = 0;
  #number = 0;

  /** Notes a record of the file with that place in the trail. */
  note(record: PostedRecord, file: number, number: number): void {
    if (file < this.#file || (file === this.#file && number <= this.#number)) return;
    this.#file = file;
    this.#number = number;
    // An attempt that is not settled is open, although its call has a record (crash.ts).
    if (record.k === "call" && this.#calls.get(record.call)?.openAttempts === 0) this.#calls.delete(record.call);
    if (record.k === "hold") {
      const call = this.#calls.get(record.call);
      if (!call) this.#calls.set(record.call, { file, openAttempts: 1, seen: file });
      else Object.assign(call, { openAttempts: call.openAttempts + 1, seen: file });
    }
    if (record.k === "settle") {
      const call = this.#calls.get(record.call);
      if (call) Object.assign(call, { openAttempts: call.openAttempts - 1, seen: file });
    }
  }

  /** The oldest file that a call needs; Infinity where none does. */
  oldest(): number {
    let oldest = Infinity;
    for (const [id, { file, openAttempts, seen }] of this.#calls)
      if (openAttempts === 0 && this.#file - seen > limits.callFilesMost) this.#calls.delete(id);
      else oldest = Math.min(oldest, file);
    return oldest;
  }
}
