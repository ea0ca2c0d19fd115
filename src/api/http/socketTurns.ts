// The turns of one WebSocket: a frame's body goes the way of every body, and its events leave as frames. A response that is not stored
// (`store: false`) is kept in the connection alone, so that the next turn can go on from it; a turn that fails drops it.
import type { IncomingHttpHeaders } from "node:http";
import { each, nextTurn } from "../../bounded/index.ts";
import { assertAuthorised } from "../../governance/index.ts";
import type { Principal } from "../../governance/types.ts";
import { newId } from "../../store/index.ts";
import { programOf } from "../../gateway/protocols/program.ts";
import type { Earlier } from "../../gateway/protocols/responses/call.ts";
import { decodeCall } from "../../gateway/protocols/responses/decode.ts";
import { streamOf } from "../../gateway/protocols/responses/events.ts";
import { errorFrame, framesOf, lastFramesOf, turnOf } from "../../gateway/protocols/responses/frames.ts";
import { responses } from "../../gateway/protocols/responses/index.ts";
import type { Told } from "../../gateway/protocols/types.ts";
import { keepResponse } from "../../gateway/responses/keeping.ts";
import { ownerOf, type ResponsesState } from "../../gateway/responses/state.ts";
import type { Gateway } from "../../gateway/types.ts";
import { limits as gatewayLimits } from "../../gateway/limits.ts";
import type { LineshaftError } from "../../errors/index.ts";
import { isLarge, parseBody, type BodyBudget, type HeldBody } from "./bodies.ts";
import { retryHeaders } from "./respond.ts";
import { wishesOf } from "./wishes.ts";

type Json = Record<string, unknown>;

/** What the turns of a connection need. */
export interface TurnParts {
  gateway: Gateway;
  stored: ResponsesState;
  bodies: BodyBudget;
  /** Of the request that opened the connection: program, deadline and priority hold for all of its turns. */
  headers: IncomingHttpHeaders;
  /** The principal, as its key is when this is called. Throws 401 once the key is revoked. */
  stillAuthenticated: () => Principal | Promise<Principal>;
  /** Sends frames; a promise where the client reads too slowly. */
  send: (frames: readonly string[]) => Promise<void> | undefined;
  /** A failure as its client is told it; one of our own is logged. */
  explained: (error: unknown) => LineshaftError;
}

/** An answer that has begun. */
interface Begun {
  told: Told;
  /** What headers of the answer say by HTTP, as far as it is known then. */
  headers: () => Record<string, string>;
}

/** The newest response of a connection that is stored nowhere else. */
interface Local {
  id: string;
  items: readonly Json[];
  bytes: number;
  held: HeldBody;
}

export class SocketTurns {
  readonly #parts: TurnParts;
  #local: Local | undefined;

  constructor(parts: TurnParts) {
    this.#parts = parts;
  }

  /**
   * Serves the turn that a frame asks for, and tells its client of every failure. `signal` aborts when the client has gone. Throws the 401 of a
   * key that was revoked, once its client was told.
   */
  async serve(bytes: Buffer, held: HeldBody, signal: AbortSignal): Promise<void> {
    const { send, explained } = this.#parts;
    let begun: Begun | undefined;
    try {
      await this.#serve(bytes, held, signal, (answer) => (begun = answer));
    } catch (error) {
      this.#drop();
      const failure = explained(error);
      await send(framesOfFailure(failure, begun));
      if (failure.status === 401) throw failure;
    }
  }

  /** `begins` is told of the answer once it has begun: what fails later is said in its shape. */
  async #serve(bytes: Buffer, held: HeldBody, signal: AbortSignal, begins: (answer: Begun) => void): Promise<void> {
    const { gateway, stored, headers, send } = this.#parts;
    const json = await parseBody(bytes);
    const { body, generates } = turnOf(json);
    const principal = await this.#parts.stillAuthenticated();
    const owner = ownerOf(principal);
    const keeps = await stored.keeps(body, owner);
    const { earlier, release } = await this.#earlier(body, principal, held);
    try {
      // The bytes are those of a frame and not of a body, so no engine is sent them.
      const call = decodeCall(body, undefined, { keeps, earlier });
      if (isLarge(bytes)) await nextTurn();
      const told: Told = { call, id: newId("call"), createdMs: Date.now() };
      const encode = responses.events(told);
      let facts: Begun["headers"] = () => ({});
      if (generates) {
        const program = programOf(headers);
        const answer = await gateway.call({
          principal,
          asked: call,
          signal,
          id: told.id,
          ...(program !== undefined && { program }),
          ...wishesOf(headers),
        });
        facts = () => ({ ...answer.headers, ...answer.lastHeaders() });
        begins({ told, headers: facts });
        await each(answer.chunks, (chunk) => send(framesOf(encode(chunk))));
      } else {
        const { organisation, project } = principal;
        assertAuthorised(principal, "call.create", { organisation, project });
        begins({ told, headers: facts });
      }
      const kept = await keepResponse(stored, told, undefined, owner);
      // The conversation and the state are there before the client reads the end, because its next turn may follow at once.
      await release?.();
      this.#remember(told, earlier, bytes.length, principal.key);
      await send(lastFramesOf(encode(undefined), { ...facts(), ...kept }));
    } finally {
      await release?.();
    }
  }

  /** What the body goes on from: what the connection has itself, else what is stored. */
  async #earlier(body: Json, principal: Principal, held: HeldBody) {
    const { stored } = this.#parts;
    const count = (bytes: number) => held.add(bytes);
    const local = this.#local;
    if (!local || body["previous_response_id"] !== local.id) {
      const earlier = await stored.before(body, ownerOf(principal), count);
      return { earlier, release: earlier?.release };
    }
    count(local.bytes);
    const { previous_response_id: _local, ...rest } = body;
    const named = await stored.before(rest, ownerOf(principal), count);
    const references = named?.references ?? new Map<string, Json>();
    return { earlier: { items: local.items, references, isUnstored: true as const }, release: named?.release };
  }

  /** Keeps the response of a turn in the connection where it is stored nowhere else. */
  #remember(told: Told, earlier: Earlier | undefined, ownBytes: number, key: string): void {
    const before = this.#local;
    this.#local = undefined;
    const answer = streamOf(told);
    answer.finish();
    const isLocal = answer.response?.["store"] === false;
    if (isLocal) {
      const items = [...(earlier?.items ?? []), ...answer.call.ownItems(answer.id), ...answer.items];
      const earlierBytes = before && earlier?.items === before.items ? before.bytes : sizeOf(earlier?.items ?? []);
      const bytes = earlierBytes + ownBytes + sizeOf(answer.items);
      const held = this.#parts.bodies.open(key);
      try {
        if (bytes <= gatewayLimits.chainBytes) {
          held.add(bytes);
          this.#local = { id: answer.id, items, bytes, held };
        }
      } catch {
        // There is no room: the client is told `previous_response_not_found`, and sends its whole conversation.
        held.release();
      }
    }
    before?.held.release();
  }

  #drop(): void {
    this.#local?.held.release();
    this.#local = undefined;
  }

  /** The connection has ended. */
  close(): void {
    this.#drop();
  }
}

function framesOfFailure(failure: LineshaftError, begun: Begun | undefined): string[] {
  if (!begun) return [errorFrame(failure, retryHeaders(failure))];
  return lastFramesOf(responses.error(failure, "stream", { told: begun.told }), begun.headers());
}

const sizeOf = (items: readonly Json[]): number => (items.length === 0 ? 0 : JSON.stringify(items).length);
