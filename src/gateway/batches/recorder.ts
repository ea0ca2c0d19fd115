// Lines that have ended stay with their process until the records of their calls can be read in Postgres. A batch ends only when none of
// its lines is in that state (store.ts, `hasWork`), so a client that sees it ended sees its calls and its price.
//
// Lines that end while one statement runs share the next one, so that a busy batch costs few statements.
import type { AttemptLedger } from "../../ledger/index.ts";
import type { Logger } from "../../telemetry/index.ts";
import type { LineClaim, LineStore } from "./lineStore.ts";

interface Rooms {
  ledger: Pick<AttemptLedger, "position" | "posted">;
  lines: Pick<LineStore, "recorded">;
  log: Pick<Logger, "warn">;
  /** Called when the last of the lines that had ended is recorded. */
  onRecorded: () => void;
}

export class LineRecorder {
  readonly #rooms: Rooms;
  #ended: LineClaim[] = [];
  #isRecording = false;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** Whether no line waits for the record of its call. */
  get isIdle(): boolean {
    return this.#ended.length === 0 && !this.#isRecording;
  }

  /** Takes a line that this process no longer serves. Its call, if it had one, has been settled in the spool of this process. */
  add(line: LineClaim): void {
    const { project, batch, number, fence } = line;
    this.#ended.push({ project, batch, number, fence });
    this.record();
  }

  /** Records what has ended. Where Postgres does not answer, the lines are kept for the next time. */
  record(): void {
    if (!this.#isRecording && this.#ended.length > 0) void this.#recorded();
  }

  async #recorded(): Promise<void> {
    const { ledger, lines, log, onRecorded } = this.#rooms;
    this.#isRecording = true;
    let under: LineClaim[] = [];
    try {
      while (this.#ended.length > 0) {
        under = this.#ended;
        this.#ended = [];
        await ledger.posted(ledger.position());
        await lines.recorded(under);
      }
      onRecorded();
    } catch (error) {
      this.#ended = [...under, ...this.#ended];
      log.warn({}, `Lines of batches could not be marked as recorded: ${(error as Error).message}`);
    } finally {
      this.#isRecording = false;
    }
  }
}
