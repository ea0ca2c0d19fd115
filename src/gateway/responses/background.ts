// Responses that run in the background: their request is answered at once, and they go on when its client has gone. Their events are
// written while they come, so that any process can tell them from any number on, and how they end is written like every stored response.
import { processMemory } from "../../bounded/index.ts";
import { LineshaftError } from "../../errors/index.ts";
import type { Logger } from "../../telemetry/index.ts";
import { asLineshaftError } from "../errors.ts";
import { newStream } from "../protocols/responses/events.ts";
import { framesOf } from "../protocols/responses/frames.ts";
import type { Told } from "../protocols/told.ts";
import { clientGone } from "../refusals.ts";
import { limits } from "../limits.ts";
import type { CallAnswer } from "../types.ts";
import type { BackgroundRows, NumberedEvent } from "./backgroundRows.ts";
import type { Owner } from "./conversations.ts";

type Json = Record<string, unknown>;
type Answer = ReturnType<typeof newStream>;

/** A response that is to run. */
interface Asked {
  owner: Owner;
  told: Told;
  keptDays: number;
  /** Makes the call. `signal` aborts when the response is cancelled. */
  call: (signal: AbortSignal) => Promise<CallAnswer>;
  /** Called once it has ended. */
  release: () => void;
}

class Running {
  readonly asked: Asked;
  readonly answer: Answer;
  readonly stop = new AbortController();
  /** Events that are not written yet. */
  waiting: NumberedEvent[] = [];
  /** The write that is under way, or was the last. */
  written: Promise<boolean> = Promise.resolve(true);
  #bytes = 0;

  constructor(asked: Asked) {
    this.asked = asked;
    this.answer = newStream(asked.told);
  }

  get name(): string {
    return `${this.asked.owner.project} ${this.answer.id}`;
  }

  add(events: string): void {
    for (const text of framesOf(events)) {
      const { sequence_number: number } = JSON.parse(text) as { sequence_number: number };
      this.waiting.push({ number, text });
      this.#bytes += text.length;
      processMemory.count("answers", text.length);
    }
  }

  /** Takes the events that wait, to be written. */
  taken(): readonly NumberedEvent[] {
    const { waiting } = this;
    this.waiting = [];
    processMemory.release("answers", this.#bytes);
    this.#bytes = 0;
    return waiting;
  }
}

export class BackgroundResponses {
  readonly #rows: BackgroundRows;
  readonly #log: Pick<Logger, "warn">;
  /** By project and id. */
  readonly #running = new Map<string, Running>();
  readonly #ends = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #looksForLost = 0;
  #closing = false;

  constructor({ rows, log }: { rows: BackgroundRows; log: Pick<Logger, "warn"> }) {
    this.#rows = rows;
    this.#log = log;
  }

  /** Begins to look after what runs here, and after what other processes have left. */
  begin(): void {
    this.#timer = setInterval(() => void this.tick(), limits.backgroundTickMs).unref();
    void this.#quietly(() => this.#rows.failLost());
  }

  /** Writes events, says that this process is alive, and fails what processes that died have left. Never rejects. */
  async tick(): Promise<void> {
    await Promise.all([...this.#running.values()].map((running) => this.#write(running)));
    if (this.#running.size > 0) await this.#quietly(() => this.#stopLost());
    if (++this.#looksForLost * limits.backgroundTickMs < limits.backgroundLostMs) return;
    this.#looksForLost = 0;
    await this.#quietly(() => this.#rows.failLost());
  }

  /** Starts a response. Answers it as it stands: in progress. Throws where it cannot be written, or too many of its key run. */
  async start(asked: Asked): Promise<Json> {
    this.#makeRoom(asked.owner.key);
    const running = new Running(asked);
    const { answer } = running;
    const { call } = answer;
    running.add(answer.begin());
    const response = answer.standing;
    const { output: _none, ...head } = response;
    try {
      await this.#rows.begin(asked.owner, {
        id: answer.id,
        call: asked.told.id,
        model: call.model,
        status: "in_progress",
        previous: call.keptPrevious,
        conversation: call.conversation,
        head,
        input: call.keptItems(answer.id),
        keptDays: asked.keptDays,
      });
    } catch (error) {
      running.taken();
      throw error;
    }
    // Not before its row is there, because what has no row is taken for cancelled.
    this.#running.set(running.name, running);
    const end = this.#run(running).finally(() => this.#ends.delete(end));
    this.#ends.add(end);
    return response;
  }

  /** Cancels a response, wherever it runs. False where none of that id runs. */
  async cancel(project: string, id: string): Promise<boolean> {
    const isCancelled = await this.#rows.cancel(project, id);
    this.#running.get(`${project} ${id}`)?.stop.abort(clientGone());
    return isCancelled;
  }

  /**
   * Events of a response after a number, as the text of a stream: those that are there, then those that come, to its end. Undefined where
   * the project has none of that id; throws a 400 where it did not run in the background.
   */
  async events(project: string, id: string, after: number, signal: AbortSignal) {
    const first = await this.#rows.progress(project, id, after);
    if (!first) return undefined;
    if (!first.isBackground)
      throw new LineshaftError({
        code: "invalid_value",
        param: "stream",
        message: "Events are kept of background responses alone, and this response was not made in the background.",
        hint: "Read it whole: leave `stream` out.",
      });
    return replay(this.#rows, project, id, after, signal);
  }

  /** Resolves when everything that runs here has ended and is written. Nothing is tried again from here on. */
  async ended(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#ends);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #run(running: Running): Promise<void> {
    const { answer, asked, stop } = running;
    try {
      const { chunks } = await asked.call(stop.signal);
      for await (const chunk of chunks) running.add(answer.take(chunk));
      answer.finish();
      running.add(answer.end());
    } catch (error) {
      running.add(answer.fail(asLineshaftError(error)));
    }
    try {
      await this.#finish(running);
    } finally {
      this.#forget(running);
      asked.release();
    }
  }

  /** Writes the last events and the end, and tries again for a while where the database does not answer. */
  async #finish(running: Running): Promise<void> {
    const { answer, asked } = running;
    const { call } = answer;
    const { output: _output, ...head } = answer.response!;
    for (let tries = 1; ; tries++) {
      try {
        if (!(await this.#writeAll(running))) return;
        await this.#rows.finish(asked.owner.project, {
          id: answer.id,
          status: String(head["status"]),
          head,
          conversation: call.conversation,
          input: call.ownItems(answer.id),
          output: answer.items,
        });
        return;
      } catch (error) {
        if (tries < limits.backgroundEndTries && !this.#closing) {
          await new Promise((resolve) => setTimeout(resolve, limits.backgroundTickMs));
          continue;
        }
        // Its row is failed once this process says no more that it runs.
        this.#log.warn({ call: asked.told.id }, `A background response could not be kept: ${(error as Error).message}`);
        return;
      }
    }
  }

  async #write(running: Running): Promise<void> {
    if (running.waiting.length === 0) return;
    await this.#quietly(async () => {
      if (!(await this.#writeAll(running))) running.stop.abort(clientGone());
    });
  }

  /** Writes what waits, after what is being written. False where the response does not run here any more. */
  #writeAll(running: Running): Promise<boolean> {
    return (running.written = running.written.catch(() => true).then(() => this.#writeNow(running)));
  }

  /** Events that could not be written wait again, before those that have come since. */
  async #writeNow(running: Running): Promise<boolean> {
    if (running.waiting.length === 0) return true;
    const events = running.taken();
    try {
      return await this.#rows.add(running.asked.owner.project, running.answer.id, events);
    } catch (error) {
      running.waiting = [...events, ...running.waiting];
      throw error;
    }
  }

  /** Stops what was cancelled, deleted or failed elsewhere. */
  async #stopLost(): Promise<void> {
    const before = [...this.#running.values()];
    const ours = await this.#rows.beat();
    for (const running of before) if (!ours.has(running.name)) running.stop.abort(clientGone());
  }

  #forget(running: Running): void {
    running.taken();
    this.#running.delete(running.name);
  }

  #makeRoom(key: string): void {
    let ofKey = 0;
    for (const { asked } of this.#running.values()) if (asked.owner.key === key) ofKey++;
    if (ofKey < limits.backgroundPerKey) return;
    throw new LineshaftError({
      code: "too_many_streams",
      message: `This key has ${limits.backgroundPerKey} background responses under way. Wait until some have ended.`,
      retryAfterSeconds: 5,
    });
  }

  async #quietly(work: () => Promise<void>): Promise<void> {
    await work().catch((error: Error) =>
      this.#log.warn({}, `Background responses could not be written: ${error.message}`),
    );
  }
}

/** Reads events until the response has ended. A reader that waits is sent a comment now and then. */
async function* replay(rows: BackgroundRows, project: string, id: string, after: number, signal: AbortSignal) {
  let last = after;
  for (let quietMs = 0; !signal.aborted;) {
    const progress = await rows.progress(project, id, last);
    if (!progress) return;
    for (const { number, text } of progress.events) {
      const { type } = JSON.parse(text) as { type: string };
      yield `event: ${type}\ndata: ${text}\n\n`;
      last = number;
    }
    if (progress.events.length > 0) {
      quietMs = 0;
      continue;
    }
    if (progress.status !== "queued" && progress.status !== "in_progress") return;
    await new Promise((resolve) => setTimeout(resolve, limits.backgroundPollMs));
    quietMs += limits.backgroundPollMs;
    if (quietMs < limits.backgroundQuietMs) continue;
    quietMs = 0;
    yield ": waiting\n\n";
  }
}
