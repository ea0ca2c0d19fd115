// What serving a call needs.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { LineshaftError } from "../../errors/index.ts";
import type { Principal } from "../../governance/types.ts";
import type { CallRoute, Protocol } from "../../gateway/protocols/types.ts";
import type { ResponsesState } from "../../gateway/responses/state.ts";
import type { Gateway } from "../../gateway/types.ts";
import type { HeldBody } from "./bodies.ts";

export interface Serving {
  gateway: Gateway;
  stored: ResponsesState;
  protocol: Protocol;
  /** What is known of the request without its body. */
  received: { route: CallRoute; model: string | undefined; path: string; query: string };
  /** The principal, as its key is when this is called. Throws 401 once the key is revoked. */
  stillAuthenticated: () => Principal | Promise<Principal>;
  request: IncomingMessage;
  response: ServerResponse;
  requestId: string;
  held: HeldBody;
  /** Counts memory that is kept beyond the request. */
  hold: () => HeldBody;
  /** Aborts when the client has gone (`goneSignal`). */
  gone: AbortSignal;
  /** A failure as its client is told it; one of our own is logged. */
  explained: (error: unknown) => LineshaftError;
}
