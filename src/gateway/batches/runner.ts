// Serves the batches of the installation: every process takes lines of every batch, some at a time, in the calls' class that goes after the
// calls that people wait for (scheduler/queue/classedQueue.ts). The statements of store.ts and lineStore.ts decide which process gets a
// line and what happens where a process ends. This file decides when they are asked.
//
// A tick comes every second, and at once where a batch is made. It validates, ends and fills: lines are taken until this process serves as
// many as it may, and again when one of them has ended.
import { randomUUID } from "node:crypto";
import { nextTurn } from "../../bounded/index.ts";
import type { Identity, Seal } from "../../governance/index.ts";
import type { Principal } from "../../governance/types.ts";
import type { AttemptLedger } from "../../ledger/index.ts";
import type { Database } from "../../store/index.ts";
import type { Logger } from "../../telemetry/index.ts";
import { limits } from "../limits.ts";
import type { ResponsesState } from "../responses/state.ts";
import type { Gateway } from "../types.ts";
import { FileStore } from "./files.ts";
import { serveLine } from "./line.ts";
import { writeOutput } from "./output.ts";
import { unservedLine } from "./outputLines.ts";
import { LineStore, type ClaimedLine } from "./lineStore.ts";
import { LineRecorder } from "./recorder.ts";
import { BatchStore } from "./store.ts";
import type { Batch, BatchEvent } from "./types.ts";
import { validated } from "./validation.ts";

interface Rooms {
  db: Database;
  seal: Seal;
  log: Pick<Logger, "warn">;
  gateway: Pick<Gateway, "call" | "closing">;
  ledger: Pick<AttemptLedger, "position" | "posted">;
  identity: Pick<Identity, "principalOf">;
  stored: ResponsesState;
  events: { publish(of: { organisation: string; project: string }, event: BatchEvent): void };
}

export class Batches {
  readonly files: FileStore;
  readonly batches: BatchStore;
  readonly lines: LineStore;
  readonly #rooms: Rooms;
  /** The name under which this process takes lines. */
  readonly #process = randomUUID();
  readonly #recorder: LineRecorder;
  /** Batches that may have lines to take, by id, in turn. */
  #open = new Map<string, Batch>();
  /** Batches that this process validates or ends now. */
  readonly #busy = new Set<string>();
  readonly #principals = new Map<string, Principal>();
  #serving = 0;
  #filling = false;
  #ticking = false;
  #again = false;
  #timers: NodeJS.Timeout[] = [];

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
    this.files = new FileStore(rooms);
    this.batches = new BatchStore(rooms);
    this.lines = new LineStore(rooms);
    const { ledger, log } = rooms;
    this.#recorder = new LineRecorder({ ledger, log, lines: this.lines, onRecorded: () => this.#endServed() });
    this.batches.onChange = (batch) => {
      this.#tell(batch);
      void this.#tick();
    };
  }

  begin(): void {
    const every = (ms: number, work: () => Promise<void>, what: string) =>
      this.#timers.push(setInterval(() => this.#logged(work(), what), ms).unref());
    every(limits.batchLookMs, () => this.#tick(), "Batches could not be looked at");
    every(limits.lineBeatMs, () => this.#beat(), "This process could not say that it serves lines of batches");
    every(
      limits.fileSweepMs,
      async () => {
        await this.files.sweep();
        await this.batches.sweep();
      },
      "Files of batches could not be swept",
    );
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  /** The last lines of a batch may have been recorded. While others are served the next tick finds that. */
  #endServed(): void {
    if (this.#serving === 0 && !this.#isOver) void this.#tick();
  }

  get #isOver(): boolean {
    return this.#rooms.gateway.closing.aborted;
  }

  async #beat(): Promise<void> {
    if (this.#serving === 0 && this.#recorder.isIdle) return;
    await this.lines.beat(this.#process);
    this.#recorder.record();
  }

  /** One at a time; one that is asked for meanwhile follows. */
  async #tick(): Promise<void> {
    this.#again = true;
    if (this.#ticking) return;
    this.#ticking = true;
    try {
      while (this.#again && !this.#isOver) {
        this.#again = false;
        await this.#look();
      }
    } catch (error) {
      this.#warn(error, "Batches could not be looked at");
    } finally {
      this.#ticking = false;
    }
  }

  async #look(): Promise<void> {
    const open = await this.batches.open();
    this.#open = new Map();
    this.#principals.clear();
    for (const batch of open) {
      if (batch.status === "in_progress" && !batch.ends && (await this.#mayGoOn(batch)))
        this.#open.set(batch.id, batch);
      else this.#background(batch);
    }
    await this.#fill();
  }

  /** Whether its lines may be served: its window is open and its key is good. */
  async #mayGoOn(batch: Batch): Promise<boolean> {
    const principal = await this.#rooms.identity.principalOf(batch.key);
    const code = !principal ? "key_revoked" : batch.expiresAt.getTime() <= Date.now() ? "batch_expired" : undefined;
    if (principal) this.#principals.set(batch.id, principal);
    if (code !== undefined) await this.batches.end(batch, code);
    return code === undefined;
  }

  /** Validates a batch or ends it, beside everything else. */
  #background(batch: Batch): void {
    if (this.#busy.has(batch.id)) return;
    this.#busy.add(batch.id);
    const stores = { files: this.files, batches: this.batches, lines: this.lines };
    const work = batch.status === "validating" ? validated(batch, stores) : writeOutput(batch, stores);
    const over = work.then(async (hasChanged) => {
      if (!hasChanged) return;
      void this.#tick();
      const now = await this.batches.get(batch.project, batch.id);
      if (now) this.#tell(now);
    });
    this.#logged(
      over.finally(() => this.#busy.delete(batch.id)),
      "A batch could not be worked on",
    );
  }

  /** Tells readers of live events the state of a batch. */
  #tell({ organisation, project, id, status }: Batch): void {
    this.#rooms.events.publish({ organisation, project }, { type: "batch", batch: { id, status } });
  }

  /** Takes lines until this process serves as many as it may, or until no batch has one. */
  async #fill(): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    try {
      while (this.#serving < limits.linesAtOnce && !this.#isOver) {
        const [batch] = this.#open.values();
        if (!batch) return;
        // The next time it is another batch's turn.
        this.#open.delete(batch.id);
        const most = Math.min(limits.linesTaken, limits.linesAtOnce - this.#serving);
        const lines = await this.lines.claim(batch, this.#process, most);
        for (const line of lines) void this.#serve(batch, line);
        if (lines.length > 0) this.#open.set(batch.id, batch);
        else this.#background(batch);
        await nextTurn();
      }
    } finally {
      this.#filling = false;
    }
  }

  async #serve(batch: Batch, line: ClaimedLine): Promise<void> {
    this.#serving++;
    try {
      const principal = this.#principals.get(batch.id);
      if (line.triesBefore >= limits.lineTriesMost)
        await this.lines.settle(line, "", { isDone: false, text: unservedLine(line, "process_ended") });
      else if (principal) await serveLine(line, { batch, principal }, this.#parts);
      else await this.lines.release(line, { afterMs: 0, isTry: false });
    } catch (error) {
      this.#warn(error, "A line of a batch could not be served");
    } finally {
      this.#serving--;
      this.#recorder.add(line);
      if (!this.#isOver) this.#logged(this.#fill(), "Lines of batches could not be taken");
    }
  }

  get #parts() {
    const { gateway, stored } = this.#rooms;
    return { gateway, stored, lines: this.lines };
  }

  #logged(work: Promise<void>, what: string): void {
    work.catch((error: unknown) => this.#warn(error, what));
  }

  #warn(error: unknown, what: string): void {
    this.#rooms.log.warn({}, `${what}: ${(error as Error).message}`);
  }
}
