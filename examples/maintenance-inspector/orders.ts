// Work orders on disk: one JSON line each, on the disk before it is answered, exactly one per effect key. A line that was cut by a crash is
// dropped when the file is opened again, because its caller got no answer.
import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";

export interface WorkOrder {
  number: string;
  machine: string;
  failure_mode: string;
  reason: string;
  opened_at: string;
}

export class WorkOrders {
  readonly #file: number;
  readonly #byKey = new Map<string, WorkOrder>();

  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true });
    const kept = existsSync(path) ? readFileSync(path, "utf8") : "";
    const whole = kept.slice(0, kept.lastIndexOf("\n") + 1);
    for (const line of whole.split("\n").filter(Boolean)) {
      const { key, order } = JSON.parse(line) as { key: string; order: WorkOrder };
      this.#byKey.set(key, order);
    }
    this.#file = openSync(path, "a", 0o600);
    if (whole.length < kept.length) ftruncateSync(this.#file, Buffer.byteLength(whole));
  }

  get count(): number {
    return this.#byKey.size;
  }

  find(key: string): WorkOrder | undefined {
    return this.#byKey.get(key);
  }

  /** Opens an order, or returns the one that was opened with the same key. Synchronous, so that no other request runs in between. */
  open(key: string, request: { machine: string; failure_mode: string; reason: string }, now: Date): WorkOrder {
    const known = this.#byKey.get(key);
    if (known) return known;
    const number = `WO-${String(this.#byKey.size + 1).padStart(5, "0")}`;
    const order: WorkOrder = { number, ...request, opened_at: now.toISOString() };
    writeSync(this.#file, `${JSON.stringify({ key, order })}\n`);
    fsyncSync(this.#file);
    this.#byKey.set(key, order);
    return order;
  }

  close(): void {
    closeSync(this.#file);
  }
}
