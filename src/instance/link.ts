// Questions and news between the main process and a gateway process, over the IPC channel that the supervisor opens. Each side answers
// the other's questions by its verbs. A question that is not answered in time fails, because the other side may be frozen.
import { LineshaftError, type FailureDetail } from "../errors/index.ts";

/** What one side does for the other: each verb takes one value and answers one, both plain data. */
type Verbs = Record<string, (value: never) => unknown>;
type Given<Verb extends (value: never) => unknown> = Parameters<Verb>[0];
type Answered<Verb extends (value: never) => unknown> = Awaited<ReturnType<Verb>>;

/** The end of an IPC channel: a child process, or `process` in the child. */
interface Channel {
  connected: boolean;
  send?(message: unknown, sent: (error: Error | null) => void): boolean;
  on(event: "message", listener: (message: unknown) => void): unknown;
  on(event: "disconnect", listener: () => void): unknown;
}

interface Message {
  /** Absent in news, which nothing answers. */
  question?: number;
  answer?: number;
  verb?: string;
  value?: unknown;
  failure?: FailureDetail;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/** Answers are given at once or after one statement; what may take longer names its own time. */
const answerMs = 2_000;

/** One end of the channel. `Theirs` are the verbs of the other side. */
export class Link<Theirs extends Verbs> {
  readonly #channel: Channel;
  readonly #failed: (verb: string, error: Error) => void;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;

  /** `failed` is told of verbs of this side that threw what is not meant to be read; the other side is told only that it failed. */
  constructor(channel: Channel, verbs: Verbs, failed: (verb: string, error: Error) => void) {
    this.#channel = channel;
    this.#failed = failed;
    channel.on("message", (message) => this.#heard(message as Message, verbs));
    channel.on("disconnect", () => {
      for (const { reject, timer } of this.#waiting.values()) {
        clearTimeout(timer);
        reject(silent());
      }
      this.#waiting.clear();
    });
  }

  /** Throws the other side's LineshaftError, or `process_silent` when it does not answer within `withinMs`. */
  ask<Name extends keyof Theirs & string>(
    verb: Name,
    value: Given<Theirs[Name]>,
    withinMs = answerMs,
  ): Promise<Answered<Theirs[Name]>> {
    if (!this.#channel.connected) return Promise.reject(silent());
    const question = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    // Timers fire before channels are read: after a stall of this process, an answer that came in time is heard first.
    const giveUp = () => this.#waiting.delete(question) && reject(silent());
    const timer = setTimeout(() => setImmediate(giveUp), withinMs);
    this.#waiting.set(question, { resolve, reject, timer });
    this.#send({ question, verb, value });
    return promise as Promise<Answered<Theirs[Name]>>;
  }

  /** Tells the other side; news to a side that has gone are lost. */
  tell<Name extends keyof Theirs & string>(verb: Name, value: Given<Theirs[Name]>): void {
    this.#send({ verb, value });
  }

  #send(message: Message): void {
    if (this.#channel.connected) this.#channel.send?.(message, () => {});
  }

  #heard({ question, answer, verb, value, failure }: Message, verbs: Verbs): void {
    if (answer !== undefined) return this.#answered(answer, value, failure);
    const does = verb === undefined ? undefined : (verbs[verb] as ((value: unknown) => unknown) | undefined);
    if (!does) return;
    // Within this turn, so that verbs run in the order in which they were sent.
    const begin = async () => does(value);
    const done = begin();
    done.then(
      (result) => question !== undefined && this.#send({ answer: question, value: result }),
      (error: Error) => {
        if (!(error instanceof LineshaftError)) this.#failed(verb!, error);
        if (question !== undefined) this.#send({ answer: question, failure: detailOf(error) });
      },
    );
  }

  #answered(question: number, value: unknown, failure: FailureDetail | undefined): void {
    const waiting = this.#waiting.get(question);
    if (!waiting) return;
    this.#waiting.delete(question);
    clearTimeout(waiting.timer);
    if (failure) waiting.reject(new LineshaftError(failure));
    else waiting.resolve(value);
  }
}

function silent(): LineshaftError {
  return new LineshaftError({
    code: "process_silent",
    message: "Another process of this instance does not answer.",
    hint: "Try again in a moment: a process that hangs is ended and started again.",
    retryAfterSeconds: 1,
  });
}

function detailOf(error: unknown): FailureDetail {
  if (!(error instanceof LineshaftError))
    return { code: "internal_error", message: "Another process of this instance failed at it. Its log says why." };
  const { code, message, why, hint, param, retryAfterSeconds, status, isPublic } = error;
  return { code, message, why, hint, param, retryAfterSeconds, ...(isPublic && { status }) };
}
