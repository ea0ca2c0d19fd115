// Writes the events of one stream to its client. What arrives in one turn of the event loop is written at once: engines send several tokens in
// one packet, and a write is the dearest thing on an event's way.
//
// Chunks (RFC 9112, section 7.1) are framed here and given to the socket. Node's own response writes each as three buffers that it first
// gathers until the next tick, which takes 21 us of CPU a chunk where this way takes 15. The response still writes the head with the first
// chunk, and the end, and everything where it has no socket yet because an answer before it on the connection is not over.
import type { ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import { atEndOfTurn } from "../../bounded/index.ts";
import { drained } from "./drained.ts";

export class EventWriter {
  readonly #response: ServerResponse;
  /** The response is sent in chunks, as that to any client but those of HTTP/1.0. */
  readonly #isChunked: boolean;
  #hasHead = false;
  #waiting = "";
  #scheduled = false;
  /** What has more to send than it should: nothing more is read of the engine until its client has read. */
  #blocked: Writable | undefined;
  readonly #flush = () => {
    this.#scheduled = false;
    if (this.#waiting === "" || this.#response.destroyed) return;
    const text = this.#waiting;
    this.#waiting = "";
    this.#send(text);
  };

  /** `response`: its head was given (`writeHead`), and of its body nothing but what was written by the response itself. */
  constructor(response: ServerResponse) {
    this.#response = response;
    this.#isChunked = response.chunkedEncoding;
    // From here on the response takes what it is given for chunks.
    response.chunkedEncoding = false;
  }

  /** Queues an event's text; answers a promise to wait for when the client reads too slowly. */
  write(event: string): Promise<void> | undefined {
    this.#waiting += event;
    if (!this.#scheduled) {
      this.#scheduled = true;
      atEndOfTurn(this.#flush);
    }
    return this.#blocked ? this.#drained(this.#blocked) : undefined;
  }

  /** Writes what is queued and the last text, and ends the response. */
  end(last: string): void {
    const text = this.#waiting + last;
    this.#waiting = "";
    if (this.#response.destroyed) return;
    const end = this.#isChunked ? "0\r\n\r\n" : "";
    this.#response.end(`${text === "" ? "" : this.#framed(text, Buffer.byteLength(text))}${end}`);
  }

  #send(text: string): void {
    const bytes = Buffer.byteLength(text);
    const { socket } = this.#response;
    const to: Writable = this.#hasHead && socket ? socket : this.#response;
    this.#hasHead = true;
    // Text of ASCII alone is written without being encoded.
    if (!to.write(this.#framed(text, bytes), bytes === text.length ? "latin1" : "utf8")) this.#blocked = to;
  }

  #framed(text: string, bytes: number): string {
    return this.#isChunked ? `${bytes.toString(16)}\r\n${text}\r\n` : text;
  }

  async #drained(blocked: Writable): Promise<void> {
    await drained(blocked);
    this.#blocked = undefined;
  }
}
