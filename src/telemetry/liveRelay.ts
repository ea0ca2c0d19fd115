// Live events between processes of one database, over NOTIFY: a reader at one process sees what another one does.
//
// Events are told only while a process has readers. Such a process says so every few seconds, and all processes
// tell and keep each other's events until a minute after the last word. Calls therefore cost nothing here while no console is open, and a
// reader that goes on at another process finds there what it has seen before.
//
// Messages may be lost: while a session is away, and when too many events come at once. What readers see of a call is then its row.
import type { Session } from "../store/index.ts";
import { limits } from "./limits.ts";
import { everyProject, ownersOnly, type Audience, type LiveEvents } from "./live.ts";
import type { Logger } from "./logger.ts";

const channel = "lineshaft_live";

/** `*`: every project of the organisation; `!`: its owners alone. */
type Told = [organisation: string, project: string, atMs: number, event: unknown];

interface RelayOptions<Event extends { type: string }> {
  events: LiveEvents<Event>;
  session: Pick<Session, "listen" | "notify" | "processId">;
  log: Logger;
  /** The event as JSON can carry it, and the event that a reader of another process is given. */
  encode(event: Event): unknown;
  decode(data: unknown): Event;
}

/** Relays the events of this process to others, and theirs to its readers. */
export class LiveRelay<Event extends { type: string }> {
  readonly #options: RelayOptions<Event>;
  readonly #parts = new Map<string, string[]>();
  #waiting: Told[] = [];
  #message = 0;
  #wantedUntilMs = Number.NEGATIVE_INFINITY;
  #group: NodeJS.Timeout | undefined;
  #alive: NodeJS.Timeout | undefined;
  #stop: (() => void) | undefined;

  private constructor(options: RelayOptions<Event>) {
    this.#options = options;
  }

  /** Resolves when it listens. */
  static async open<Event extends { type: string }>(options: RelayOptions<Event>): Promise<LiveRelay<Event>> {
    const relay = new LiveRelay(options);
    relay.#stop = await options.session.listen(channel, (text) => relay.#heard(text));
    options.events.relayBy({
      published: (audience, event, atMs) => relay.#published(audience, event, atMs),
      readerCame: () => relay.#want(),
    });
    relay.#alive = setInterval(() => {
      if (options.events.readers > 0) relay.#want();
    }, limits.relayWantedEveryMs).unref();
    return relay;
  }

  close(): void {
    this.#stop?.();
    clearInterval(this.#alive);
    clearTimeout(this.#group);
  }

  /** Says that this process has readers. */
  #want(): void {
    this.#wantedUntilMs = performance.now() + limits.relayWantedMs;
    this.#send("w");
  }

  #published({ organisation, project }: Audience, event: Event, atMs: number): void {
    if (performance.now() > this.#wantedUntilMs || this.#waiting.length >= limits.relayWaiting) return;
    const name = project === everyProject ? "*" : project === ownersOnly ? "!" : project;
    this.#waiting.push([organisation, name, atMs, this.#options.encode(event)]);
    this.#group ??= setTimeout(() => this.#tell(), limits.relayEveryMs).unref();
  }

  #tell(): void {
    this.#group = undefined;
    const group = this.#waiting.splice(0);
    // ASCII alone, so that characters are bytes and a cut splits none.
    const text = JSON.stringify(group).replaceAll(
      /[\u0080-\uffff]/g,
      (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
    const size = limits.relayPartCharacters;
    const parts = Math.ceil(text.length / size);
    if (parts > limits.relayParts) return;
    const message = this.#message++;
    for (let part = 0; part < parts; part++)
      this.#send(`e ${message} ${part} ${parts} ${text.slice(part * size, (part + 1) * size)}`);
  }

  #send(text: string): void {
    const { session, log } = this.#options;
    session.notify(channel, `${session.processId} ${text}`).catch((error: Error) => {
      log.debug({ err: error.message }, "live events were not told to other processes");
    });
  }

  #heard(text: string): void {
    const [, from, rest] = /^(\d+) (.*)$/s.exec(text) ?? [];
    if (from === undefined || rest === undefined || from === String(this.#options.session.processId)) return;
    if (rest === "w") {
      this.#wantedUntilMs = performance.now() + limits.relayWantedMs;
      return;
    }
    const [, message, part, parts, piece] = /^e (\d+) (\d+) (\d+) (.*)$/s.exec(rest) ?? [];
    if (piece === undefined) return;
    const whole = this.#assembled(`${from} ${message}`, from, Number(part), Number(parts), piece);
    if (whole !== undefined) this.#receive(whole);
  }

  /** Parts of one process come in order, so of each process one message at most is incomplete. */
  #assembled(id: string, from: string, part: number, parts: number, piece: string): string | undefined {
    if (part === 0) for (const other of this.#parts.keys()) if (other.startsWith(`${from} `)) this.#parts.delete(other);
    const pieces = this.#parts.get(id) ?? [];
    if (pieces.length !== part || parts > limits.relayParts) return undefined;
    pieces.push(piece);
    if (pieces.length < parts) {
      this.#parts.set(id, pieces);
      return undefined;
    }
    this.#parts.delete(id);
    return pieces.join("");
  }

  #receive(text: string): void {
    let group: Told[];
    try {
      group = JSON.parse(text) as Told[];
    } catch {
      return;
    }
    for (const [organisation, name, atMs, data] of group) {
      const project = name === "*" ? everyProject : name === "!" ? ownersOnly : name;
      this.#options.events.receive({ organisation, project }, this.#options.decode(data), atMs);
    }
  }
}
