// The events of a stream, one after the other, as they come. Bytes of an answer become events here (sse.ts), and an engine that sends much at
// once is made to leave the event loop its turns.
import { later, type Later } from "../../bounded/index.ts";
import type { ByteStream } from "../../egress/index.ts";
import { limits } from "../limits.ts";
import { SseScanner } from "./sse.ts";

/** Stands in the place of an event's name: the text is that of a comment. */
const comment: unique symbol = Symbol("comment");
const none: readonly Uint8Array[] = [];

export class ArrivingEvents {
  readonly #body: ByteStream;
  readonly #scanner: SseScanner;
  /** Pieces that have come, and the place of the next one that is scanned. */
  #pieces = none;
  #piece = 0;
  /** Events of the last piece with their names, comments in their places among them, and the place of the next one. */
  readonly #texts: string[] = [];
  readonly #names: (string | undefined | typeof comment)[] = [];
  #at = 0;
  #passed = 0;
  #hadTurn = false;
  /** Data of the event that was come to, or a comment's text. */
  text = "";
  /** Its name, where it has one. */
  name: string | undefined;
  isComment = false;

  /** `withComments`: comments are come to as well; else they are left out. */
  constructor(body: ByteStream, withComments: boolean) {
    this.#body = body;
    const arrive = (text: string, name: string | undefined | typeof comment) => {
      this.#texts.push(text);
      this.#names.push(name);
    };
    const onComment = withComments ? (text: string) => arrive(text, comment) : undefined;
    this.#scanner = new SseScanner(arrive, limits.eventBytes, onComment);
  }

  /** Comes to the next event; false at the end. `later`: none is there, and `wake` is called when one may be. Throws EngineError. */
  next(wake: () => void): boolean | Later {
    while (this.#at === this.#texts.length) {
      if (this.#at > 0) {
        this.#texts.length = 0;
        this.#names.length = 0;
        this.#at = 0;
      }
      if (this.#piece === this.#pieces.length) {
        // A piece is a part of what was read from the socket, which must not be kept while nothing comes.
        this.#pieces = none;
        this.#piece = 0;
        const pieces = this.#body.take(wake);
        if (pieces === later) return later;
        if (pieces === undefined) return false;
        this.#pieces = pieces;
      }
      this.#scanner.push(this.#pieces[this.#piece++]!);
    }
    return this.#comeTo(wake);
  }

  /** Whether no event follows the comment that was come to: what came with it ends there, or goes on with another comment. */
  get isAlone(): boolean {
    return this.#at === this.#texts.length || this.#names[this.#at] === comment;
  }

  #comeTo(wake: () => void): boolean | Later {
    const name = this.#names[this.#at];
    this.isComment = name === comment;
    if (name !== comment) {
      if (!this.#hasTurn()) {
        setImmediate(wake);
        return later;
      }
      this.name = name;
    }
    this.text = this.#texts[this.#at++]!;
    return true;
  }

  /** An engine that sends everything at once must not hold the event loop until all of it is passed on. */
  #hasTurn(): boolean {
    if (!this.#hadTurn && ++this.#passed % limits.eventsPerTurn === 0) {
      this.#hadTurn = true;
      return false;
    }
    this.#hadTurn = false;
    return true;
  }
}
